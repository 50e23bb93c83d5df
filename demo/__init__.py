"""The browser demo: settings, sessions and work without Gradio, then handlers, player and layout."""

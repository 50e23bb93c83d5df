"""The browser demo: settings, sessions and jobs without Gradio, then handlers, player and layout."""

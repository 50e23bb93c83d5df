"""The page in the browser: settings, sessions and jobs without Gradio, then events, player and layout."""

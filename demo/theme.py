"""Colours and shapes of Gradio's own components; ours are in style.css. No font is fetched from a network."""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

AMBER_SHADES = "fff8e6 ffedc0 ffdf8f ffcf5c ffbf33 f8ad0d d98f00 a96c00 7c4f00 553600 3a2500"
"""Hexadecimal colours of what can be pressed, from the lightest shade, 50, to the darkest, 950, in the steps
of Gradio's palettes."""
INK_SHADES = "faf9f6 f2f0ea e4e1d8 cdc9bd a29e93 6b6860 4d4b45 34332f 232321 191917 111110"
"""The same of paper and ink: a warm grey that matches the amber."""


def _hue(name: str, shades: str) -> colors.Color:
    return colors.Color(*[f"#{shade}" for shade in shades.split()], name=name)  # type: ignore[misc]


SANS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
"""Fonts of the operating systems, in the order of preference: none has to be fetched."""
MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]
"""The same of letters that are all as wide."""


def theme() -> gr.themes.Base:
    """Paper and ink, with amber for what can be pressed; red and blue are left to the two branches."""
    amber = _hue("amber", AMBER_SHADES)
    base = gr.themes.Base(
        primary_hue=amber,
        secondary_hue=amber,
        neutral_hue=_hue("ink", INK_SHADES),
        radius_size=sizes.radius_md,
        font=SANS,
        font_mono=MONO,
    )
    return base.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        background_fill_primary="white",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_100",
        background_fill_secondary_dark="*neutral_800",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_700",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_500",
        block_label_text_color_dark="*neutral_400",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_text_weight="600",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_600",
        input_border_color_focus="*primary_600",
        input_border_color_focus_dark="*primary_400",
        button_border_width="1px",
        button_border_width_dark="1px",
        input_border_width="1px",
        input_border_width_dark="1px",
        button_primary_border_color="transparent",
        button_primary_border_color_dark="transparent",
        button_primary_background_fill="*primary_400",
        button_primary_background_fill_hover="*primary_300",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color="*neutral_950",
        button_primary_text_color_dark="*neutral_950",
        button_secondary_background_fill="transparent",
        button_secondary_background_fill_dark="transparent",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_hover_dark="*neutral_800",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        slider_color="*primary_500",
        link_text_color="*neutral_900",
        link_text_color_dark="*neutral_100",
    )

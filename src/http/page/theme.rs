//! The operator's colours as a style sheet, `/static/theme.css`: the pages' CSP allows no inline style.

use crate::config::section::Branding;
use crate::http::page::colour::Colour;

/// The blue of pages without a `primary_color`.
const DEFAULT_PRIMARY: Colour = Colour::new(0x24, 0x57, 0xc5);
/// What buttons and links lie on in the light scheme; `--surface` of `static/pages.css`.
const LIGHT_SURFACE: Colour = Colour::WHITE;
/// The same in the dark scheme.
const DARK_SURFACE: Colour = Colour::new(0x18, 0x1c, 0x22);
/// What WCAG 2.2 §1.4.3 asks of text.
const TEXT_CONTRAST: f64 = 4.5;
/// What WCAG 2.2 §1.4.11 asks of the outline of a control.
const OUTLINE_CONTRAST: f64 = 3.0;

/// The style sheet of `branding`, for the light and the dark scheme.
///
/// `primary_color` fills the main button, unchanged; its text is black or white, whichever reads better. `secondary_color`
/// (else the primary) marks focus and the emblem, moved towards black or white until it stands out from the page.
#[must_use]
pub fn theme_css(branding: &Branding) -> String {
    let primary = chosen(branding.primary_color.as_deref()).unwrap_or(DEFAULT_PRIMARY);
    let secondary = chosen(branding.secondary_color.as_deref()).unwrap_or(primary);
    let light = scheme(primary, secondary, LIGHT_SURFACE);
    let dark = scheme(primary, secondary, DARK_SURFACE);
    format!(":root{{{light}}}\n@media (prefers-color-scheme:dark){{:root{{{dark}}}}}\n")
}

/// The configured colour. Parsed once more, so that nothing but a colour can ever reach the style sheet.
fn chosen(text: Option<&str>) -> Option<Colour> {
    text.and_then(Colour::parse)
}

fn scheme(primary: Colour, secondary: Colour, surface: Colour) -> String {
    let text = primary.text();
    // Away from the colour of the text: hovering never makes it harder to read.
    let away = if text == Colour::WHITE { Colour::BLACK } else { Colour::WHITE };
    let hover = primary.mixed(away, 16);
    let line = primary.readable_on(surface, OUTLINE_CONTRAST);
    let accent = secondary.readable_on(surface, TEXT_CONTRAST);
    format!("--button:{primary};--button-hover:{hover};--button-text:{text};--button-line:{line};--accent:{accent}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::page::tests::branding;

    fn value(css: &str, name: &str) -> Colour {
        let start = css.find(&format!("{name}:")).unwrap() + name.len() + 1;
        Colour::parse(&css[start..start + 7]).unwrap()
    }

    #[test]
    fn every_choice_of_colour_stays_readable_in_both_schemes() {
        for colour in ["#fff", "#000", "#ffff00", "#777777", "#181c22", "#ff0000", "#00a86b", "#2457c5"] {
            let mut branding = branding();
            branding.primary_color = Some(colour.to_owned());
            let css = theme_css(&branding);
            let (light, dark) = css.split_once("@media (prefers-color-scheme:dark)").unwrap();
            for (scheme, surface) in [(light, LIGHT_SURFACE), (dark, DARK_SURFACE)] {
                let text = value(scheme, "--button-text");
                assert_eq!(value(scheme, "--button"), Colour::parse(colour).unwrap());
                assert!(value(scheme, "--button").contrast(text) >= TEXT_CONTRAST, "{colour}");
                assert!(value(scheme, "--button-hover").contrast(text) >= TEXT_CONTRAST, "{colour}");
                assert!(value(scheme, "--button-line").contrast(surface) >= OUTLINE_CONTRAST, "{colour}");
                assert!(value(scheme, "--accent").contrast(surface) >= TEXT_CONTRAST, "{colour}");
            }
        }
    }

    #[test]
    fn nothing_but_a_colour_reaches_the_style_sheet() {
        let mut branding = branding();
        let plain = theme_css(&branding);
        branding.primary_color = Some("red;}body{display:none".to_owned());
        branding.secondary_color = Some("#fff/*".to_owned());
        assert_eq!(theme_css(&branding), plain);
    }

    #[test]
    fn the_surfaces_are_those_of_the_pages() {
        let css = include_str!("../../../static/pages.css");
        let (light, dark) = css.split_once("prefers-color-scheme: dark").unwrap();
        assert!(light.contains(&format!("--surface: {LIGHT_SURFACE};")));
        assert!(dark.contains(&format!("--surface: {DARK_SURFACE};")));
    }
}

//! Colours of the screen, and how well one reads on another.
//! [WCAG 2.2 §1.4.3](https://www.w3.org/TR/WCAG22/#contrast-minimum)

use std::fmt;

/// An opaque sRGB colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colour {
    channels: [u8; 3],
}

impl Colour {
    /// `#000000`.
    pub const BLACK: Self = Self::new(0, 0, 0);
    /// `#ffffff`.
    pub const WHITE: Self = Self::new(255, 255, 255);

    /// The colour of these amounts of red, green and blue.
    #[must_use]
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { channels: [red, green, blue] }
    }

    /// Reads `#rgb` or `#rrggbb`; `None` for anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: Vec<u8> = text.strip_prefix('#')?.chars().map(hexadecimal_digit).collect::<Option<_>>()?;
        match *digits.as_slice() {
            [red, green, blue] => Some(Self::new(red * 17, green * 17, blue * 17)),
            [r1, r2, g1, g2, b1, b2] => Some(Self::new(r1 * 16 + r2, g1 * 16 + g2, b1 * 16 + b2)),
            _ => None,
        }
    }

    /// The contrast ratio with `other`: 1 (the same) to 21 (black and white).
    #[must_use]
    pub fn contrast(self, other: Self) -> f64 {
        let (ours, theirs) = (self.luminance(), other.luminance());
        (ours.max(theirs) + 0.05) / (ours.min(theirs) + 0.05)
    }

    /// Black or white, whichever reads better on this colour. Against one of them every colour has at least 4.58.
    #[must_use]
    pub fn text(self) -> Self {
        if self.contrast(Self::WHITE) >= self.contrast(Self::BLACK) { Self::WHITE } else { Self::BLACK }
    }

    /// This colour moved `percent` of the way to `other`.
    #[must_use]
    pub fn mixed(self, other: Self, percent: u8) -> Self {
        let part = u16::from(percent.min(100));
        let mut channels = self.channels;
        for (channel, goal) in channels.iter_mut().zip(other.channels) {
            let sum = u16::from(*channel) * (100 - part) + u16::from(goal) * part;
            *channel = u8::try_from(sum / 100).unwrap_or(u8::MAX);
        }
        Self { channels }
    }

    /// This colour, or the nearest on the way to black or white that stands out from `surface` by `ratio`.
    #[must_use]
    pub fn readable_on(self, surface: Self, ratio: f64) -> Self {
        let steps = (0..=100).step_by(4).map(|percent| self.mixed(surface.text(), percent));
        steps.into_iter().find(|step| step.contrast(surface) >= ratio).unwrap_or_else(|| surface.text())
    }

    /// Relative luminance, 0 to 1 (WCAG 2.2, definitions).
    fn luminance(self) -> f64 {
        let [red, green, blue] = self.channels.map(|channel| {
            let value = f64::from(channel) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
}

fn hexadecimal_digit(character: char) -> Option<u8> {
    character.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

impl fmt::Display for Colour {
    /// `#rrggbb`, as in a style sheet.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [red, green, blue] = self.channels;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_are_read_and_nothing_else() {
        assert_eq!(Colour::parse("#0aF"), Some(Colour::new(0x00, 0xaa, 0xff)));
        assert_eq!(Colour::parse("#2457c5").unwrap().to_string(), "#2457c5");
        for text in ["", "#", "2457c5", "#12", "#1234", "#12345", "#1234567", "#ggg", "#fff;}", "red", "#１２３"] {
            assert_eq!(Colour::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn contrast_is_that_of_the_guideline() {
        assert!((Colour::BLACK.contrast(Colour::WHITE) - 21.0).abs() < 0.001);
        // The grey that WCAG tools give as the lightest to pass on white.
        assert!((Colour::new(0x76, 0x76, 0x76).contrast(Colour::WHITE) - 4.54).abs() < 0.01);
    }

    #[test]
    fn text_reads_on_every_colour() {
        let steps = || (0..=255).step_by(15);
        for (red, green, blue) in steps().flat_map(|r| steps().flat_map(move |g| steps().map(move |b| (r, g, b)))) {
            let colour = Colour::new(red, green, blue);
            assert!(colour.contrast(colour.text()) >= 4.5, "{colour}");
        }
    }
}

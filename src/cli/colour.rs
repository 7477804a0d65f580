//! Taking tofu's colours out of a log that goes into a pipe.
//!
//! Rule: a log comes in pieces; a sequence that is cut in two by them is still taken out.

/// Takes escape sequences out of a stream.
#[derive(Debug, Default)]
pub(super) struct Stripper {
    state: State,
}

#[derive(Debug, Default, Clone, Copy)]
enum State {
    #[default]
    Text,
    /// After ESC.
    Escape,
    /// In `ESC [ … final`.
    Control,
    /// In `ESC ] … BEL` or `ESC ] … ESC \`.
    Command,
    /// After an ESC within a command.
    CommandEscape,
}

impl Stripper {
    /// `piece` without escape sequences.
    pub(super) fn strip(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(piece.len());
        for &byte in piece {
            self.state = match (self.state, byte) {
                (State::Text, byte) if byte != 0x1b => {
                    text.push(byte);
                    State::Text
                }
                (State::Text | State::Escape, 0x1b) => State::Escape,
                (State::Escape, b'[') | (State::Control, 0x20..=0x3f) => State::Control,
                (State::Command, 0x1b) => State::CommandEscape,
                (State::Command, 0x07) | (State::CommandEscape, b'\\') => State::Text,
                (State::Escape, b']') | (State::Command | State::CommandEscape, _) => State::Command,
                (State::Text | State::Escape | State::Control, _) => State::Text,
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::Stripper;

    #[test]
    fn colours_are_taken_out_wherever_the_stream_is_cut() {
        let log = b"\x1b[1m\x1b[32mPlan:\x1b[0m 1 to add\x1b]0;title\x07, \x1b]8;;x\x1b\\0 to change\n";
        for cut in 0..log.len() {
            let mut stripper = Stripper::default();
            let mut text = stripper.strip(&log[..cut]);
            text.extend(stripper.strip(&log[cut..]));
            assert_eq!(String::from_utf8_lossy(&text), "Plan: 1 to add, 0 to change\n", "cut at {cut}");
        }
    }
}

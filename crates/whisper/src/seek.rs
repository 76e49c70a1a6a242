//! Which windows of the audio are to be transcribed.

use crate::mel::FRAMES_PER_SECOND;
use crate::split::Window;

/// The place reached in the clips of an audio. Source: the loop of `generate_segments` of faster-whisper.
#[derive(Debug)]
pub(crate) struct Seek {
    /// First frame and end of each clip.
    clips: Vec<(usize, usize)>,
    clip: usize,
    content_frames: usize,
    window_frames: usize,
    /// The frame that the next window begins with.
    pub at: usize,
}

impl Seek {
    pub(crate) fn new(clip_timestamps: &[f64], content_frames: usize, window_frames: usize) -> Self {
        let frame = |seconds: &f64| (seconds * FRAMES_PER_SECOND as f64).round_ties_even() as usize;
        let mut points: Vec<usize> = clip_timestamps.iter().map(frame).collect();
        if points.is_empty() {
            points.push(0);
        }
        if points.len() % 2 == 1 {
            points.push(content_frames);
        }
        let clips: Vec<_> = points.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        let at = clips[0].0;
        Self {
            clips,
            clip: 0,
            content_frames,
            window_frames,
            at,
        }
    }

    /// The next window; `None` when all is done.
    pub(crate) fn window(&mut self) -> Option<Window> {
        loop {
            let (start, end) = *self.clips.get(self.clip)?;
            let end = end.min(self.content_frames);
            self.at = self.at.max(start);
            if self.at < end {
                let frames = self.window_frames.min(end - self.at);
                return Some(Window { seek: self.at, frames });
            }
            self.clip += 1;
            if let Some((start, _)) = self.clips.get(self.clip) {
                self.at = *start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(clips: &[f64], content_frames: usize) -> Vec<(usize, usize)> {
        let mut seek = Seek::new(clips, content_frames, 3000);
        let mut found = vec![];
        while let Some(window) = seek.window() {
            found.push((window.seek, window.frames));
            seek.at += window.frames;
        }
        found
    }

    #[test]
    fn clips_are_walked_window_by_window() {
        assert_eq!(windows(&[0.0], 0), []);
        assert_eq!(windows(&[], 100), [(0, 100)]);
        assert_eq!(windows(&[0.0], 3100), [(0, 3000), (3000, 100)]);
        assert_eq!(windows(&[1.0, 2.0, 5.0], 3000), [(100, 100), (500, 2500)]);
        assert_eq!(windows(&[2.0, 1.0], 3000), []);
        assert_eq!(windows(&[50.0], 3000), []);
        assert_eq!(windows(&[0.0, 99.0], 300), [(0, 300)], "a clip ends with the audio");
    }
}

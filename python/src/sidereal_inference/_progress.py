"""How what the command says is shown: line by line, or in notebooks on a line that changes."""

import re
from typing import TextIO

# The first words of lines that say how far a campaign is.
STEPS = ("round ", "learning from ", "learned from ", "searched for ")
LOGGED = re.compile(r"\d{4}-\d\d-\d\dT\S+Z\s+(?:WARN|ERROR) \S+: (.*)")
# Of a training that is mended by itself.
DIVERGED = ("training diverges", "loss is not finite")


class Progress:
    """Shows the command's lines on a stream; in notebooks the next step stands in place of the last one."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.changes = type(stream).__module__.startswith("ipykernel")
        self.width = 0  # of the step that stands there
        self.has_diverged = False

    def show(self, line: str) -> None:
        """A line without its end."""
        logged = LOGGED.fullmatch(line)
        if logged:
            line = logged[1]
            if line.startswith(DIVERGED):
                if self.has_diverged:
                    return
                self.has_diverged = True
                line = "a training diverged and goes on from its best epoch at a lower rate; so will others, without a word"
        if self.changes and line.startswith(STEPS):
            self.stream.write("\r" + line.ljust(self.width))
            self.width = len(line)
        else:
            self.end()
            self.stream.write(line + "\n")
        self.stream.flush()

    def end(self) -> None:
        """Leaves the last step where it is."""
        if self.width:
            self.stream.write("\n")
            self.stream.flush()
        self.width = 0

/**
 * What a screen reader is told of an answer that is coming: whole paragraphs, each once, not every token.
 * `said` is how much of the text has been told; returns the next piece and how much is told then, or null for now.
 */
export function nextSpoken(text: string, said: number, whole: boolean): { piece: string; said: number } | null {
  const end = whole ? text.length : text.lastIndexOf("\n\n");
  if (end <= said) return null;
  // Inside a code block an empty line is no end of a paragraph; its text is told when the block has been closed.
  const fences = text.slice(0, end).match(/^\s{0,3}(```|~~~)/gm)?.length ?? 0;
  if (!whole && fences % 2 === 1) return null;
  const piece = plain(text.slice(said, end));
  return piece === "" ? null : { piece, said: end };
}

/** Without the marks of Markdown that would be read out. */
function plain(markdown: string): string {
  return markdown
    .replaceAll(/^\s{0,3}(```|~~~).*$/gm, "")
    .replaceAll(/^\s{0,3}#{1,6}\s+/gm, "")
    .replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replaceAll(/\*\*|__|`/g, "")
    .replaceAll(/\n{2,}/g, "\n")
    .trim();
}

import type { Root, RootContent } from "mdast";
import { fromMarkdown } from "mdast-util-from-markdown";
import { gfmFromMarkdown } from "mdast-util-gfm";
import { gfm } from "micromark-extension-gfm";

/** One block of a text (a paragraph, a list, a code block…), with where it stands in it. */
export interface Block {
  node: RootContent;
  start: number;
  /** The block's own text: two blocks with the same are rendered the same. */
  source: string;
}

export interface Blocks {
  text: string;
  list: readonly Block[];
}

export const NO_BLOCKS: Blocks = { text: "", list: [] };

function parse(text: string): Root {
  return fromMarkdown(text, { extensions: [gfm({ singleTilde: false })], mdastExtensions: [gfmFromMarkdown()] });
}

/**
 * The blocks of a text. Where it only goes on from an earlier one, only its last block and what follows are read again, so
 * that an answer costs the same for each token however long it is. References of the form `[text][1]` to a definition in
 * another block are found when the whole is read at the end (`blocks(text)` without a `before`).
 */
export function blocks(text: string, before: Blocks = NO_BLOCKS): Blocks {
  if (text === before.text) return before;
  const last = text.startsWith(before.text) ? before.list.at(-1) : undefined;
  const from = last?.start ?? 0;
  const kept = last ? before.list.slice(0, -1) : [];
  const tail = text.slice(from);
  const read = parse(tail).children.map((node): Block => {
    // From the beginning of its line: how far it is indented is part of it.
    const start = tail.lastIndexOf("\n", (node.position?.start.offset ?? 0) - 1) + 1;
    return { node, start: from + start, source: tail.slice(start, node.position?.end.offset) };
  });
  return { text, list: [...kept, ...read] };
}

import type { createLowlight } from "lowlight";

/** A piece of highlighted code: text, with the classes of its kind. */
export type Piece = { text: string } | { kind: string; pieces: Piece[] };
export type Highlighter = (code: string, language: string) => Piece[] | null;

type Tree = ReturnType<ReturnType<typeof createLowlight>["highlight"]>["children"];

let loading: Promise<Highlighter> | null = null;

/** The highlighter, which is fetched when the first code is shown. */
export function highlighter(): Promise<Highlighter> {
  loading ??= load().catch((error: unknown) => {
    loading = null;
    throw error;
  });
  return loading;
}

async function load(): Promise<Highlighter> {
  const { lowlight } = await import("./languages");
  return (code, language) => (lowlight.registered(language) ? pieces(lowlight.highlight(language, code).children) : null);
}

function pieces(children: Tree): Piece[] {
  return children.flatMap((child): Piece[] => {
    if (child.type === "text") return [{ text: child.value }];
    if (child.type !== "element") return [];
    const names = child.properties["className"];
    return [{ kind: Array.isArray(names) ? names.join(" ") : "", pieces: pieces(child.children as Tree) }];
  });
}

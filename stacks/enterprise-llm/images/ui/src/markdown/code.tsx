import { useEffect, useState, type ReactNode } from "react";
import { CopyButton } from "../page/parts/copy";
import { highlighter, type Piece } from "./highlight";

/** Longer code is shown plain: to colour it would hold up the page. */
const LONGEST = 40_000;

interface Props {
  code: string;
  language: string;
  /** More of it may come: not coloured yet. */
  open: boolean;
}

export function CodeBlock({ code, language, open }: Props) {
  const [coloured, setColoured] = useState<{ code: string; pieces: Piece[] | null } | null>(null);
  useEffect(() => {
    if (open || language === "" || code.length > LONGEST) return undefined;
    let current = true;
    highlighter().then(
      (highlight) => current && setColoured({ code, pieces: highlight(code, language.toLowerCase()) }),
      () => undefined, // not fetched: the code stays plain
    );
    return () => {
      current = false;
    };
  }, [code, language, open]);
  const pieces = coloured?.code === code ? coloured.pieces : null;
  return (
    <figure className="code" aria-label={language === "" ? "Code" : `Code, ${language}`}>
      <figcaption>
        <span>{language === "" ? "text" : language}</span>
        <CopyButton text={code} label="Copy code" />
      </figcaption>
      {/* oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex -- wide code scrolls with the arrow keys */}
      <pre tabIndex={0}>
        <code>{pieces ? pieces.map(painted) : code}</code>
      </pre>
    </figure>
  );
}

function painted(piece: Piece, key: number): ReactNode {
  return "text" in piece ? piece.text : <span key={key} className={piece.kind}>{piece.pieces.map(painted)}</span>;
}

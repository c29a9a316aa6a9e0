import type { AlignType, Definition, Nodes, Table } from "mdast";
import { memo, useMemo, useState, type ReactNode } from "react";
import { blocks, NO_BLOCKS, type Block, type Blocks } from "./blocks";
import { CodeBlock } from "./code";
import { safeAddress } from "./links";

type Definitions = ReadonlyMap<string, string>;
const NO_DEFINITIONS: Definitions = new Map();

interface Props {
  text: string;
  /** The text is still coming: read on from where it was, and leave the last block's code plain. */
  growing?: boolean;
}

/**
 * Markdown as React elements. No HTML is ever made of it as text: what looks like HTML in an answer is shown as it was
 * written, links lead to web and mail addresses only, and images become links, so that no answer can make this page fetch.
 */
export const Markdown = memo(function Markdown({ text, growing = false }: Props) {
  const [read] = useState(reader);
  const { list } = useMemo(() => read(text, growing), [read, text, growing]);
  const definitions = growing ? NO_DEFINITIONS : definitionsOf(list);
  return (
    <div className="prose">
      {list.map((block, i) => (
        <BlockView
          key={block.start}
          block={block}
          definitions={definitions}
          open={growing && i === list.length - 1}
        />
      ))}
    </div>
  );
});

/** Reads texts; one that grows is read on from where the reading before it ended. */
function reader(): (text: string, growing: boolean) => Blocks {
  let before = NO_BLOCKS;
  return (text, growing) => {
    before = blocks(text, growing ? before : NO_BLOCKS);
    return before;
  };
}

interface BlockProps {
  block: Block;
  definitions: Definitions;
  open: boolean;
}

const BlockView = memo(
  function BlockView({ block, definitions, open }: BlockProps) {
    return element(block.node, definitions, open, 0);
  },
  (a, b) => a.block.source === b.block.source && a.open === b.open && a.definitions.size === 0 && b.definitions.size === 0,
);

function definitionsOf(list: readonly Block[]): Definitions {
  const found = list.map(({ node }) => node).filter((node): node is Definition => node.type === "definition");
  if (found.length === 0) return NO_DEFINITIONS;
  return new Map(found.toReversed().map((node) => [node.identifier, node.url]));
}

function element(node: Nodes, definitions: Definitions, open: boolean, key: number): ReactNode {
  const inside = () => ("children" in node ? node.children.map((child, i) => element(child, definitions, open, i)) : null);
  switch (node.type) {
    case "text":
      return node.value;
    case "html":
      return <span key={key}>{node.value}</span>;
    case "paragraph":
      return <p key={key}>{inside()}</p>;
    case "heading": {
      // The page has its own first heading; those of an answer stand below it.
      const Heading = (["h3", "h4", "h5", "h6", "h6", "h6"] as const)[node.depth - 1] ?? "h6";
      return <Heading key={key}>{inside()}</Heading>;
    }
    case "emphasis":
      return <em key={key}>{inside()}</em>;
    case "strong":
      return <strong key={key}>{inside()}</strong>;
    case "delete":
      return <del key={key}>{inside()}</del>;
    case "blockquote":
      return <blockquote key={key}>{inside()}</blockquote>;
    case "break":
      return <br key={key} />;
    case "thematicBreak":
      return <hr key={key} />;
    case "inlineCode":
      return <code key={key}>{node.value}</code>;
    case "code":
      return <CodeBlock key={key} code={node.value} language={node.lang ?? ""} open={open} />;
    case "list":
      return node.ordered === true ? (
        <ol key={key} start={node.start ?? 1}>{inside()}</ol>
      ) : (
        <ul key={key}>{inside()}</ul>
      );
    case "listItem":
      return (
        <li key={key} className={typeof node.checked === "boolean" ? "task" : undefined}>
          {typeof node.checked === "boolean" && <span role="img" aria-label={node.checked ? "done" : "to do"}>{node.checked ? "☑" : "☐"}</span>}
          {tight(node.spread) ? node.children.map((child, i) => (child.type === "paragraph" ? child.children.map((one, j) => element(one, definitions, open, i * 1000 + j)) : element(child, definitions, open, i))) : inside()}
        </li>
      );
    case "table":
      return <TableView key={key} table={node} cell={(child, i) => element(child, definitions, open, i)} />;
    case "link":
      return <Anchor key={key} to={node.url}>{inside()}</Anchor>;
    case "linkReference":
      return <Anchor key={key} to={definitions.get(node.identifier) ?? ""}>{inside()}</Anchor>;
    case "image":
      return <Anchor key={key} to={node.url}>{node.alt || "image"}</Anchor>;
    case "imageReference":
      return <Anchor key={key} to={definitions.get(node.identifier) ?? ""}>{node.alt || "image"}</Anchor>;
    case "footnoteReference":
      return <sup key={key}>{node.label ?? node.identifier}</sup>;
    case "footnoteDefinition":
      return <div key={key} className="footnote"><sup>{node.label ?? node.identifier}</sup>{inside()}</div>;
    default:
      return null; // definitions, which show nothing themselves
  }
}

function tight(spread: boolean | null | undefined): boolean {
  return spread !== true;
}

function Anchor({ to, children }: { to: string; children: ReactNode }) {
  const address = safeAddress(to);
  if (address === null) return <span title={to || undefined}>{children}</span>;
  return <a href={address} target="_blank" rel="noopener noreferrer nofollow">{children}</a>;
}

const ALIGN = { left: "text-left", right: "text-right", center: "text-center" } as const;

function TableView({ table, cell }: { table: Table; cell: (child: Nodes, i: number) => ReactNode }) {
  const [head, ...body] = table.children;
  const align = (i: number) => ALIGN[(table.align?.[i] as AlignType) ?? "left"];
  return (
    // It may be wider than the page, and then scrolls by itself; focus lets the arrow keys do that.
    // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
    <div className="sheet" role="region" aria-label="Table" tabIndex={0}>
      <table>
        <thead>
          <tr>
            {head?.children.map((one, i) => (
              <th key={i} scope="col" className={align(i)}>{one.children.map(cell)}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {body.map((row, i) => (
            <tr key={i}>
              {row.children.map((one, j) => (
                <td key={j} className={align(j)}>{one.children.map(cell)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { blocks, NO_BLOCKS } from "../../src/markdown/blocks";
import { safeAddress } from "../../src/markdown/links";
import { Markdown } from "../../src/markdown/markdown";
import { RICH } from "../walk/texts";

const html = (text: string) => renderToStaticMarkup(<Markdown text={text} />);

describe("what an answer cannot do", () => {
  test.each([
    "<script>alert(1)</script>",
    '<img src=x onerror="alert(1)">',
    'a <b onclick="x()">bold</b> word',
    '<iframe src="https://example.org"></iframe>',
    "<svg/onload=alert(1)>",
    '<a href="javascript:alert(1)">x</a>',
    "| <img src=x onerror=alert(1)> |\n|---|\n| <style>*{}</style> |",
  ])("HTML is shown as it was written: %s", (text) => {
    expect(html(text)).not.toMatch(/<(script|img|iframe|svg(?! width)|style|b)\b/);
    expect(html(text)).not.toMatch(/<a\b/);
    expect(html(text)).toContain("&lt;");
  });

  test.each([
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#10;script:alert(1))",
    "[x](<java\tscript:alert(1)>)",
    "[x](&#106;avascript:alert(1))",
    "[x](data:text/html,<script>alert(1)</script>)",
    "[x](vbscript:x)",
    "[x](file:///etc/passwd)",
    "[x](/auth/logout)",
    "[x](//example.org)",
    "![x](javascript:alert(1))",
    "<javascript:alert(1)>",
    "[x][1]\n\n[1]: javascript:alert(1)",
  ])("no link for %s", (text) => expect(html(text)).not.toContain("href"));

  test("an image is not fetched but linked to", () => {
    expect(html("![chart](https://example.org/?secret=1)")).toMatch(/<a href="https:\/\/example.org\/\?secret=1"[^>]*>chart<\/a>/);
  });

  test("links open elsewhere, and tell nothing of where they were", () => {
    expect(html("<https://example.org/>")).toContain('target="_blank" rel="noopener noreferrer nofollow"');
  });

  test("addresses with control characters are read as a browser reads them", () => {
    expect(safeAddress("\u0001javascript:x")).toBeNull();
    expect(safeAddress(" https://example.org/a")).toBe("https://example.org/a");
    expect(safeAddress("mailto:a@example.org")).toBe("mailto:a@example.org");
  });
});

describe("what it can", () => {
  test("emphasis, lists, code, tables, tasks, references", () => {
    const made = html(`${RICH}\n\nSee [the manual][m]. &amp; &copy;\n\n[m]: https://example.org/manual`);
    for (const part of ["<strong>strong</strong>", "<em>", "<code>inline code</code>", "<ol start=\"1\">", "<th scope=\"col\" class=\"text-right\">", "☑", "<blockquote>", 'href="https://example.org/manual"', "&amp; ©"]) expect(made).toContain(part);
  });

  test("code keeps every character", () => {
    expect(html('```html\n<a href="x">&amp;</a>\n```')).toContain("<code>&lt;a href=&quot;x&quot;&gt;&amp;amp;&lt;/a&gt;</code>");
  });
});

describe("a growing text", () => {
  test.each([1, 3, 17])("is read as the whole would be, %i characters at a time", (step) => {
    let grown = NO_BLOCKS;
    for (let end = 0; end <= RICH.length + step; end += step) grown = blocks(RICH.slice(0, end), grown);
    expect(grown.list.map(({ source }) => source)).toEqual(blocks(RICH).list.map(({ source }) => source));
  });

  test("does not read again what is finished", () => {
    const before = blocks(`${RICH}\n\nmore`);
    const after = blocks(`${RICH}\n\nmore and more`, before);
    expect(after.list.slice(0, -1).every((block, i) => block === before.list[i])).toBe(true);
  });

  test("another text is read from its beginning", () => {
    expect(blocks("# b", blocks("a\n\nb")).list.map(({ node }) => node.type)).toEqual(["heading"]);
  });
});

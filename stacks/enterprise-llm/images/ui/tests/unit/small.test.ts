import { describe, expect, test } from "vitest";
import { ApiError, failure, retrySeconds, Unreachable } from "../../src/page/api/errors";
import { byAge } from "../../src/chat/dates";
import { drafts } from "../../src/chat/drafts";
import { nextSpoken } from "../../src/chat/speech";

describe("errors", () => {
  const NOW = Date.parse("2030-01-01T00:00:00Z");

  test("Retry-After in seconds, as a date, and nonsense", () => {
    expect(retrySeconds("12", NOW)).toBe(12);
    expect(retrySeconds("Tue, 01 Jan 2030 00:01:00 GMT", NOW)).toBe(60);
    expect(retrySeconds("Mon, 31 Dec 2029 00:00:00 GMT", NOW)).toBe(0);
    expect(retrySeconds("soon", NOW)).toBeNull();
    expect(retrySeconds(null, NOW)).toBeNull();
  });

  test("a service's own word", async () => {
    const body = { error: { code: "model_unavailable", message: "Later.", request_id: "r" } };
    const error = await failure(Response.json(body, { status: 503, headers: { "Retry-After": "7" } }));
    expect(error).toBeInstanceOf(ApiError);
    expect(error).toMatchObject({ status: 503, code: "model_unavailable", message: "Later.", retryAfter: 7, requestId: "r" });
  });

  test.each([502, 503, 504])("a proxy's page with %i: the service cannot be reached", async (status) => {
    expect(await failure(new Response("<html>Bad Gateway</html>", { status }))).toBeInstanceOf(Unreachable);
  });

  test.each(["null", "[]", "x", '{"error":"x"}', ""])("an error that is none of the contract's: %s", async (text) => {
    expect(await failure(new Response(text, { status: 500 }))).toMatchObject({ status: 500, code: "unknown" });
  });
});

describe("drafts", () => {
  class Shelf extends Map<string, string> {
    getItem = (name: string) => this.get(name) ?? null;
    setItem = (name: string, value: string) => void this.set(name, value);
    removeItem = (name: string) => void this.delete(name);
    key = (i: number) => [...this.keys()][i] ?? null;
    get length() {
      return this.size;
    }
  }

  test("are kept by person and chat, survive a reload, and go at the log-out", () => {
    const shelf = new Shelf();
    drafts("ann", shelf).write(null, "new");
    drafts("ann", shelf).write("s1", "old");
    drafts("bob", shelf).write("s1", "his");
    expect(drafts("ann", shelf).read("s1")).toBe("old");
    drafts("ann", shelf).clear();
    expect([...shelf.values()]).toEqual(["his"]);
  });

  test("a storage that is full or forbidden keeps them for as long as the page does", () => {
    const full = { ...new Shelf(), getItem: () => null, removeItem: () => undefined, key: () => null, length: 0, setItem: () => { throw new Error("full"); } };
    const kept = drafts("ann", full);
    kept.write("s1", "x");
    expect(kept.read("s1")).toBe("x");
  });
});

describe("what is read out", () => {
  test("whole paragraphs, each once, and the rest at the end", () => {
    const text = "# One\n\nTwo **three**";
    expect(nextSpoken("# One", 0, false)).toBeNull();
    const first = nextSpoken(text, 0, false);
    expect(first).toEqual({ piece: "One", said: 5 });
    expect(nextSpoken(text, 5, false)).toBeNull();
    expect(nextSpoken(text, 5, true)).toEqual({ piece: "Two three", said: text.length });
    expect(nextSpoken(text, text.length, true)).toBeNull();
  });

  test("code only when its block has been closed", () => {
    expect(nextSpoken("```\na\n\nb", 0, false)).toBeNull();
    expect(nextSpoken("```\na\n\nb\n```\n\nc", 0, false)?.piece).toBe("a\nb");
  });
});

test("chats by age", () => {
  const session = (updated_at: string) => ({ id: updated_at, title: null, model: null, created_at: updated_at, updated_at });
  const times = ["2030-06-15T08:00:00", "2030-06-14T23:00:00", "2030-06-10T12:00:00", "2030-05-20T12:00:00", "2029-01-01T12:00:00"];
  const groups = byAge(times.map((time) => session(new Date(time).toISOString())), new Date("2030-06-15T12:00:00"));
  expect(groups.map(({ label }) => label).slice(0, 4)).toEqual(["Today", "Yesterday", "Last 7 days", "Last 30 days"]);
  expect(groups).toHaveLength(5);
});

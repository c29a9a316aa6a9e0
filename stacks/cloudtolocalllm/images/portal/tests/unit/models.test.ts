import { describe, expect, test } from "vitest";
import type { Ask, Carrier } from "../../src/stream/carrier";
import { chat, listModels } from "../../src/stream/models";

/** A way to a server that says these answers, each cut into pieces of `size` bytes. */
function carrier(answers: Record<string, [status: number, text: string]>, size = 7): Carrier & { asked: Ask[] } {
  const asked: Ask[] = [];
  return {
    asked,
    async ask(request) {
      asked.push(request);
      const [status, text] = answers[`${request.method} ${request.path}`] ?? [404, "{}"];
      const bytes = new TextEncoder().encode(text);
      async function* body() {
        for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
      }
      return { status, body: body() };
    },
  };
}

const never = new AbortController().signal;
async function say(way: Carrier, dialect: "ollama" | "openai"): Promise<string[]> {
  const said: string[] = [];
  for await (const piece of chat(way, dialect, "m", [{ role: "user", content: "?" }], never)) said.push(piece);
  return said;
}
const part = (content: string) => JSON.stringify({ message: { content } });

describe("the models", () => {
  test("Ollama's", async () => {
    const way = carrier({ "GET /api/tags": [200, '{"models":[{"name":"a:1b"},{"name":"b"}]}'] });
    expect(await listModels(way, never)).toEqual({ dialect: "ollama", names: ["a:1b", "b"] });
  });

  test("of a server that speaks OpenAI's API only", async () => {
    const way = carrier({ "GET /v1/models": [200, '{"data":[{"id":"c"}]}'] });
    expect(await listModels(way, never)).toEqual({ dialect: "openai", names: ["c"] });
  });

  test.each([
    [503, '{"error":{"code":"desktop_away","message":"Nobody."}}', "desktop_away", "Nobody."],
    [502, '{"error":{"code":"local_away","message":"It does not run."}}', "local_away", "It does not run."],
    [500, '{"error":"out of memory"}', "model_server", "out of memory"],
    [502, "<html>", "unknown", "The model server answered 502."],
    [200, "<html>", "no_json", "What answers on the desktop is no model server."],
  ])("%i %s", async (status, text, code, message) => {
    await expect(listModels(carrier({ "GET /api/tags": [status, text] }), never)).rejects.toMatchObject({ code, message });
  });
});

describe("an answer", () => {
  test("in lines, cut anywhere, inside a character too", async () => {
    const text = `${part("Grüße ")}\n${part("🙂")}\n\n${JSON.stringify({ message: { content: "" }, done: true })}\n`;
    for (const size of [1, 3, 1000]) expect(await say(carrier({ "POST /api/chat": [200, text] }, size), "ollama")).toEqual(["Grüße ", "🙂"]);
  });

  test("in events", async () => {
    const event = (content: string | null, finish: string | null = null) => `data: ${JSON.stringify({ choices: [{ delta: { content }, finish_reason: finish }] })}\n\n`;
    const text = `: hello\n\n${event(null)}${event("a ")}${event("b")}${event(null, "stop")}data: [DONE]\n\n`;
    expect(await say(carrier({ "POST /v1/chat/completions": [200, text] }), "openai")).toEqual(["a ", "b"]);
  });

  test("that breaks off, and one with an error in it", async () => {
    await expect(say(carrier({ "POST /api/chat": [200, `${part("a")}\n`] }), "ollama")).rejects.toMatchObject({ code: "cut" });
    await expect(say(carrier({ "POST /api/chat": [200, `${part("a")}\n{"error":"out of memory"}\n`] }), "ollama")).rejects.toMatchObject({ message: "out of memory" });
    await expect(say(carrier({ "POST /api/chat": [404, '{"error":"model not found"}'] }), "ollama")).rejects.toMatchObject({ message: "model not found" });
  });
});

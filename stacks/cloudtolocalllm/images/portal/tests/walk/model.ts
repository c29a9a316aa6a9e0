/** A stand-in for a model server on a desktop: Ollama's paths that the portal uses, or OpenAI's. Its texts are fixed. */

export interface Reply {
  status: number;
  type: string;
  pieces: AsyncIterable<string>;
}

export class Model {
  readonly unknown: string[] = [];
  readonly asked: { model: string; messages: { role: string; content: string }[] }[] = [];
  dialect: "ollama" | "openai" = "ollama";
  names = ["llama3.2:3b", "qwen3:8b"];
  words: string[] = "Your desktop says hello. Each of these words came by itself, from a model that runs at home.".match(/\s*\S+/g) ?? [];
  paceMs = 5;
  /** Nothing listens on the desktop: the bridge says so. */
  down = false;
  /** How many of its answers were broken off by who asked. */
  broken = 0;

  reply(method: string, path: string, body: string): Reply {
    if (this.down) return json(502, { error: { code: "local_away", message: "The model server on the desktop does not answer: connection refused." } });
    const ollama = this.dialect === "ollama";
    switch (`${method} ${path}`) {
      case "GET /api/tags":
        return ollama ? json(200, { models: this.names.map((name) => ({ name })) }) : json(404, { error: { message: "no such path" } });
      case "GET /v1/models":
        return json(200, { object: "list", data: this.names.map((id) => ({ id })) });
      case "POST /api/chat":
        return { status: 200, type: "application/x-ndjson", pieces: this.#say(body, (content) => `${JSON.stringify({ message: { content }, done: false })}\n`, `${JSON.stringify({ done: true })}\n`) };
      case "POST /v1/chat/completions":
        return { status: 200, type: "text/event-stream", pieces: this.#say(body, (content) => `data: ${JSON.stringify({ choices: [{ delta: { content }, finish_reason: null }] })}\n\n`, "data: [DONE]\n\n") };
      default:
        this.unknown.push(`${method} ${path}`);
        return json(404, { error: "not known to the stand-in" });
    }
  }

  async *#say(body: string, part: (word: string) => string, end: string): AsyncGenerator<string> {
    this.asked.push(JSON.parse(body) as (typeof this.asked)[0]);
    let whole = false;
    try {
      for (const word of this.words) {
        await new Promise((done) => setTimeout(done, this.paceMs));
        yield part(word);
      }
      yield end;
      whole = true;
    } finally {
      if (!whole) this.broken += 1;
    }
  }
}

function json(status: number, value: unknown): Reply {
  async function* whole() {
    yield JSON.stringify(value);
  }
  return { status, type: "application/json", pieces: whole() };
}

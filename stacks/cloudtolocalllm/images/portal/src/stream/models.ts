import { sseParser } from "../page/api/sse";
import { StreamError, type Answer, type Carrier } from "./carrier";

/** What a model server speaks: Ollama's own API, or the one that OpenAI made common. */
export type Dialect = "ollama" | "openai";

export interface Models {
  dialect: Dialect;
  names: readonly string[];
}

export interface Message {
  role: "user" | "assistant";
  content: string;
}

/** The models on the desktop. Throws StreamError and what the carrier throws. */
export async function listModels(carrier: Carrier, signal: AbortSignal): Promise<Models> {
  const own = await carrier.ask({ method: "GET", path: "/api/tags", signal });
  if (own.status !== 404) {
    const { models } = (await json(own)) as { models?: { name: string }[] };
    return { dialect: "ollama", names: (models ?? []).map(({ name }) => name) };
  }
  await text(own);
  const common = (await json(await carrier.ask({ method: "GET", path: "/v1/models", signal }))) as { data?: { id: string }[] };
  return { dialect: "openai", names: (common.data ?? []).map(({ id }) => id) };
}

/** The answer of a model, piece by piece as it comes. Throws StreamError and what the carrier throws. */
export async function* chat(carrier: Carrier, dialect: Dialect, model: string, messages: readonly Message[], signal: AbortSignal): AsyncGenerator<string> {
  const path = dialect === "ollama" ? "/api/chat" : "/v1/chat/completions";
  const answer = await carrier.ask({ method: "POST", path, body: { model, messages, stream: true }, signal });
  if (answer.status >= 400) throw refusal(answer.status, await text(answer));
  let whole = false;
  for await (const said of dialect === "ollama" ? lines(answer) : events(answer)) {
    if (said === "[DONE]") {
      whole = true;
      continue;
    }
    const value = parse(said) as OllamaPart & OpenaiPart;
    if (value.error !== undefined) throw refusal(502, said);
    const piece = value.message?.content ?? value.choices?.[0]?.delta?.content ?? "";
    if (piece !== "") yield piece;
    whole ||= value.done === true || typeof value.choices?.[0]?.finish_reason === "string";
  }
  if (!whole) throw new StreamError("cut", "The model server broke its answer off.");
}

interface OllamaPart {
  message?: { content?: string };
  done?: boolean;
  error?: unknown;
}

interface OpenaiPart {
  choices?: { delta?: { content?: string | null }; finish_reason?: string | null }[];
}

async function* lines(answer: Answer): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of answer.body) {
    const parts = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    yield* parts.filter((line) => line.trim() !== "");
  }
  if (rest.trim() !== "") yield rest;
}

async function* events(answer: Answer): AsyncGenerator<string> {
  const parser = sseParser();
  for await (const piece of answer.body) yield* parser.push(piece).map(({ data }) => data);
}

async function text(answer: Answer): Promise<string> {
  const decoder = new TextDecoder();
  let all = "";
  for await (const piece of answer.body) all += decoder.decode(piece, { stream: true });
  return all;
}

async function json(answer: Answer): Promise<unknown> {
  const said = await text(answer);
  if (answer.status >= 400) throw refusal(answer.status, said);
  return parse(said);
}

function parse(said: string): object {
  try {
    const value: unknown = JSON.parse(said);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw new StreamError("no_json", "What answers on the desktop is no model server.");
}

/** The proxy and the bridge say `{"error": {code, message}}`, OpenAI's servers too; Ollama says `{"error": "…"}`. */
function refusal(status: number, said: string): StreamError {
  let error: unknown;
  try {
    ({ error } = JSON.parse(said) as { error?: unknown });
  } catch {
    // No word of a service.
  }
  if (typeof error === "string") return new StreamError("model_server", error);
  const { code, message } = (error ?? {}) as { code?: unknown; message?: unknown };
  return new StreamError(typeof code === "string" ? code : "unknown", typeof message === "string" ? message : `The model server answered ${status}.`);
}

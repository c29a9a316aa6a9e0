import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";

export async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

export function json(response: ServerResponse, status: number, body?: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json", "X-Request-ID": randomUUID() });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

export function refuse(response: ServerResponse, status: number, code: string, retryAfter?: number, beside: object = {}): void {
  if (retryAfter !== undefined) response.setHeader("Retry-After", String(retryAfter));
  json(response, status, { error: { code, message: `Refused: ${code.replaceAll("_", " ")}.`, request_id: randomUUID() }, ...beside });
}

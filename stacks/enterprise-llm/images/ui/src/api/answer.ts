import { aborted, Unreachable } from "../page/api/errors";
import type { Call, Http } from "../page/api/http";
import { sseParser } from "../page/api/sse";
import type { AnswerEvent } from "./types";

/** One POST whose answer comes as events. Throws what Http does; Unreachable too when it breaks off. */
export async function* answer(http: Http, path: string, call: Call): AsyncGenerator<AnswerEvent> {
  const parser = sseParser();
  const reader = (await http.stream(path, call)).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      for (const { event, data } of parser.push(value)) {
        const told = answerEvent(event, data);
        if (told) yield told;
      }
    }
  } catch (error) {
    throw aborted(error) ? error : new Unreachable(error);
  } finally {
    reader.cancel().catch(() => undefined);
  }
}

/** Null for an event that this page does not know, so that the service may learn new ones. */
function answerEvent(event: string, data: string): AnswerEvent | null {
  if (event !== "session" && event !== "token" && event !== "done" && event !== "error") return null;
  return { ...(JSON.parse(data) as object), event } as AnswerEvent;
}

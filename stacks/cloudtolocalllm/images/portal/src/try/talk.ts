import { aborted, SignedOut, Unreachable, words } from "../page/api/errors";
import { store, type Store } from "../page/store";
import { StreamError, type Carrier } from "../stream/carrier";
import { chat, type Message, type Models } from "../stream/models";

export interface Talk {
  turns: readonly Message[];
  answering: boolean;
  /** Why the last answer is not whole, or is not there. */
  trouble: string | null;
}

const EMPTY: Talk = { turns: [], answering: false, trouble: null };

/** A few questions and answers, which only this page keeps. */
export interface Conversation {
  readonly talk: Store<Talk>;
  ask(text: string, carrier: Carrier, models: Models, model: string): Promise<void>;
  stop(): void;
  clear(): void;
}

export function conversation(): Conversation {
  const talk = store<Talk>(EMPTY);
  let running: AbortController | null = null;

  return {
    talk,
    async ask(text, carrier, { dialect }, model) {
      if (running) return;
      const control = new AbortController();
      running = control;
      // A question that was never answered is asked anew, not twice.
      const before = talk.get().turns.filter(({ content }, at, all) => content !== "" && all[at + 1]?.content !== "");
      const asked: Message[] = [...before, { role: "user", content: text }];
      let answer = "";
      const show = (trouble: string | null, answering: boolean) => {
        // A conversation that was cleared meanwhile stays so.
        if (running === control) talk.set({ turns: [...asked, { role: "assistant", content: answer }], answering, trouble });
      };
      show(null, true);
      let trouble: string | null = null;
      try {
        for await (const piece of chat(carrier, dialect, model, asked, control.signal)) {
          answer += piece;
          show(null, true);
        }
      } catch (error) {
        trouble = aborted(error) ? null : told(error, answer !== "");
      }
      show(trouble, false);
      if (running === control) running = null;
    },
    stop: () => running?.abort(),
    clear() {
      running?.abort();
      running = null;
      talk.set(EMPTY);
    },
  };
}

/** `begun`: a part of the answer is there. */
export function told(error: unknown, begun: boolean): string {
  if (error instanceof Unreachable) {
    return begun ? "The connection was lost; the answer breaks off here." : "The connection was lost before an answer came.";
  }
  if (error instanceof SignedOut) return words(error);
  if (!(error instanceof StreamError)) return words(error);
  if (error.code === "desktop_away") return "Your desktop is not connected. Start the bridge there, and ask again.";
  if (error.code === "desktop_lost") return "Your desktop’s connection was lost; the answer breaks off here.";
  return error.message;
}

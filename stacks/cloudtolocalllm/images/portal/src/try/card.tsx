import { useEffect, useId, useRef, useState, type KeyboardEvent } from "react";
import { Icon } from "../page/parts/icons";
import { useStore } from "../page/store";
import { WAYS } from "../session/card";
import type { Desk } from "../session/desk";
import { stageOf, wayOf, type Stage } from "../session/state";
import type { Conversation } from "./talk";

/** A prompt to a model on the desktop, and its answer as it comes. */
export function TryCard({ desk, conversation }: { desk: Desk; conversation: Conversation }) {
  const state = useStore(desk.state, (value) => value);
  const turns = useStore(conversation.talk, (talk) => talk.turns.length);
  const [chosen, setChosen] = useState<string | null>(null);
  const names = state.models?.names ?? [];
  const model = chosen !== null && names.includes(chosen) ? chosen : (names[0] ?? null);
  const connected = stageOf(state) === "connected";
  const way = wayOf(state);

  function ask(text: string): boolean {
    const carrier = desk.carrier();
    if (!carrier || !state.models || model === null) return false;
    void asked(conversation.ask(text, carrier, state.models, model));
    return true;
  }

  /** What went wrong shows on the way, too. */
  async function asked(answer: Promise<void>): Promise<void> {
    await answer;
    if (conversation.talk.get().trouble !== null) desk.hurry();
  }

  return (
    <section className="card-box flex flex-col" aria-labelledby="try">
      <div className="flex min-h-9 flex-wrap items-center gap-x-3 gap-y-1">
        <h2 id="try" className="text-base font-semibold">Try it</h2>
        {connected && way && <p className="text-sm text-muted">in use: {WAYS[way]}</p>}
        {turns > 0 && <button type="button" className="quiet ml-auto" onClick={() => conversation.clear()}>Clear</button>}
      </div>
      <Turns conversation={conversation} empty={state.complaint ?? (connected && names.length === 0 ? NO_MODEL : EMPTY[stageOf(state)])} />
      <Composer conversation={conversation} ready={connected && model !== null} onAsk={ask}>
        <select className="select bare" aria-label="Model" value={model ?? ""} disabled={names.length === 0} onChange={(event) => setChosen(event.target.value)}>
          {names.length === 0 && <option value="">No model yet</option>}
          {names.map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </Composer>
    </section>
  );
}

const NO_MODEL = "Your desktop is connected, but its model server has no model. With Ollama: ollama pull llama3.2";
const EMPTY: Record<Stage, string> = {
  loading: "",
  none: "",
  connecting: "The connection to your proxy is being made.",
  lost: "The connection was lost, and is being made again.",
  waiting: "As soon as your desktop is connected, its models can be tried here.",
  connected: "Ask one of your models something. The answer comes from your desktop, and nothing of it is kept on the way.",
};

/** `empty`: what stands there before the first question. */
function Turns({ conversation, empty }: { conversation: Conversation; empty: string }) {
  const { turns, answering, trouble } = useStore(conversation.talk, (talk) => talk);
  const box = useRef<HTMLDivElement>(null);
  const followed = useRef(true);
  useEffect(() => {
    if (followed.current) box.current?.scrollTo({ top: box.current.scrollHeight });
  }, [turns, trouble]);
  return (
    <div
      ref={box}
      className="turns"
      role="log"
      aria-label="Conversation"
      aria-busy={answering}
      // It can be scrolled by keyboard.
      // oxlint-disable-next-line jsx-a11y/no-noninteractive-tabindex
      tabIndex={0}
      onScroll={({ currentTarget: at }) => {
        followed.current = at.scrollHeight - at.scrollTop - at.clientHeight < 24;
      }}
    >
      {turns.length === 0 && <p className="m-auto max-w-sm text-center text-muted">{empty}</p>}
      {turns.map(({ role, content }, at) =>
        role === "user" ? (
          <p key={at} className="bubble self-end"><span className="sr-only">You: </span>{content}</p>
        ) : (
          <div key={at} className="answer">
            <span className="sr-only">The model: </span>
            {content.trimStart()}
            {answering && at === turns.length - 1 && content === "" && <span className="waiting" role="img" aria-label="Waiting for the answer"><i /><i /><i /></span>}
          </div>
        ),
      )}
      {trouble !== null && <p className="note danger" role="alert">{trouble}</p>}
    </div>
  );
}

interface ComposerProps {
  conversation: Conversation;
  ready: boolean;
  /** False if it could not be asked. */
  onAsk: (text: string) => boolean;
  children: React.ReactNode;
}

function Composer({ conversation, ready, onAsk, children }: ComposerProps) {
  const id = useId();
  const answering = useStore(conversation.talk, (talk) => talk.answering);
  const [text, setText] = useState("");
  const usable = ready && text.trim() !== "";

  function submit(): void {
    if (usable && !answering && onAsk(text.trim())) setText("");
  }

  function keys(event: KeyboardEvent): void {
    if (event.key === "Escape" && answering) conversation.stop();
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing) return;
    event.preventDefault();
    submit();
  }

  return (
    <form
      className="composer"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <label htmlFor={id} className="sr-only">Prompt</label>
      <textarea id={id} rows={2} value={text} placeholder="Type a prompt" onKeyDown={keys} onChange={(event) => setText(event.target.value)} />
      <div className="flex items-center justify-between gap-3">
        {children}
        {answering ? (
          <button key="stop" type="button" className="round" aria-label="Stop" onClick={() => conversation.stop()}><Icon name="stop" size={20} /></button>
        ) : (
          <button key="send" type="submit" className="round" aria-label="Send" aria-disabled={!usable}><Icon name="send" size={20} /></button>
        )}
      </div>
    </form>
  );
}

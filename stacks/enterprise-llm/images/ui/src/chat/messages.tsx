import { memo, useEffect, useLayoutEffect, useRef, useState } from "react";
import { Markdown } from "../markdown/markdown";
import { CopyButton } from "../page/parts/copy";
import { Icon } from "../page/parts/icons";
import type { Conversation } from "./conversation";
import { timeOf } from "./dates";
import { nextSpoken } from "./speech";
import type { Turn } from "./state";
import { useStore } from "../page/store";

const ENDS: Record<string, string> = {
  stopped: "Stopped",
  length: "Cut off at the model’s limit",
  error: "Broke off",
};

interface Props {
  conversation: Conversation;
  modelName: (id: string | null) => string | null;
  onRetry: () => void;
}

/** The messages. A token changes the answer that is coming and nothing else of this list. */
export function Messages({ conversation, modelName, onRetry }: Props) {
  const turns = useStore(conversation.chat, (chat) => chat.turns);
  const pending = useStore(conversation.chat, (chat) => chat.pending);
  const idle = useStore(conversation.chat, (chat) => chat.phase === "idle");
  const replacing = useStore(conversation.chat, (chat) => chat.live?.replaces === true && chat.phase === "waiting");
  const shown = useShown(turns.length);
  return (
    <ol className="flex flex-col gap-7" aria-label="Messages">
      {turns.slice(-shown).map((turn, i, all) => (
        <TurnView
          key={turn.key}
          turn={turn}
          model={modelName(turn.model)}
          faded={replacing && i === all.length - 1 && turn.role === "assistant"}
          onRetry={idle && pending === null && i === all.length - 1 && turn.role === "assistant" ? onRetry : null}
        />
      ))}
      {pending && (
        <li className={idle ? "turn user unsent" : "turn user"}>
          <p className="sr-only">You wrote{idle ? ", not sent" : ""}:</p>
          <div className="bubble">{pending.text}</div>
        </li>
      )}
      <LiveTurn conversation={conversation} />
    </ol>
  );
}

const FIRST = 40;
const STEP = 80;

/** How many of the last messages are in the page: those that can be seen at once, then, between pictures, the others. */
function useShown(count: number): number {
  const [shown, setShown] = useState(FIRST);
  useEffect(() => {
    if (shown >= count) return undefined;
    const timer = setTimeout(() => setShown((now) => now + STEP), 30);
    return () => clearTimeout(timer);
  }, [shown, count]);
  return Math.max(shown, 1);
}

interface TurnProps {
  turn: Turn;
  model: string | null;
  /** About to be replaced. */
  faded: boolean;
  onRetry: (() => void) | null;
}

const LINE_PX = 26;
const LINE_CHARACTERS = 80;

/** About how high a text will be: what the browser takes for a message that has not been in sight yet. */
function height(text: string, around: number): string {
  const lines = text.split("\n").reduce((sum, line) => sum + Math.max(1, Math.ceil(line.length / LINE_CHARACTERS)), 0);
  return `auto ${lines * LINE_PX + around}px`;
}

const TurnView = memo(function TurnView({ turn, model, faded, onRetry }: TurnProps) {
  if (turn.role === "user") {
    return (
      <li className="turn user" style={{ containIntrinsicSize: height(turn.content, 20) }}>
        <p className="sr-only">You wrote:</p>
        <div className="bubble">{turn.content}</div>
        <div className="actions" title={timeOf(turn.at)}>
          <CopyButton text={turn.content} label="Copy the message" />
        </div>
      </li>
    );
  }
  const end = ENDS[turn.finishReason ?? ""];
  return (
    <li className={faded ? "turn opacity-45" : "turn"} style={{ containIntrinsicSize: height(turn.content, 40) }}>
      <p className="sr-only">Answer:</p>
      {turn.content === "" ? <p className="text-muted">No text.</p> : <Markdown text={turn.content} />}
      <div className="actions" data-last={onRetry !== null || undefined}>
        <CopyButton text={turn.content} label="Copy the answer" />
        {onRetry && (
          <button type="button" className="quiet" aria-label="Answer again" title="Answer again" onClick={onRetry}>
            <Icon name="retry" size={16} />
          </button>
        )}
        <span className="ml-1 text-xs text-muted" title={timeOf(turn.at)}>
          {[model, end].filter(Boolean).join(" · ")}
        </span>
      </div>
    </li>
  );
});

function LiveTurn({ conversation }: { conversation: Conversation }) {
  const live = useStore(conversation.chat, (chat) => chat.live);
  if (!live) return null;
  return (
    <li className="turn" aria-hidden="true">
      {live.text === "" ? <p className="waiting"><i /><i /><i /></p> : <div className="growing"><Markdown text={live.text} growing /></div>}
    </li>
  );
}

/** For screen readers: the answer by paragraphs as they are complete, and that it has begun and ended. */
export function Spoken({ conversation }: { conversation: Conversation }) {
  const live = useStore(conversation.chat, (chat) => chat.live?.text ?? null);
  const last = useStore(conversation.chat, (chat) => chat.turns.at(-1));
  const [lines, setLines] = useState<readonly string[]>([]);
  const said = useRef<number | null>(null);
  useEffect(() => {
    const add = (line: string) => setLines((now) => [...now.slice(-8), line]);
    if (live === null) {
      if (said.current === null) return;
      const rest = last?.role === "assistant" ? nextSpoken(last.content, said.current, true) : null;
      said.current = null;
      if (rest) add(rest.piece);
      add(last?.role === "assistant" ? (last.finishReason === "stopped" ? "Answer stopped." : "End of the answer.") : "No answer came.");
      return;
    }
    if (said.current === null) {
      said.current = 0;
      setLines(["Waiting for the answer."]);
    }
    const next = nextSpoken(live, said.current, false);
    if (!next) return;
    said.current = next.said;
    add(next.piece);
  }, [live, last]);
  return (
    <div className="sr-only" role="log" aria-live="polite" aria-label="Answer">
      {lines.map((line, i) => (
        <p key={`${lines.length}-${i}`}>{line}</p>
      ))}
    </div>
  );
}

const NEAR_PX = 60;

/** Keeps a scrolled area at its end for as long as the reader is there. Returns what to attach, and whether they are. */
export function useAtEnd() {
  const area = useRef<HTMLDivElement>(null);
  const content = useRef<HTMLDivElement>(null);
  const pinned = useRef(true);
  const [away, setAway] = useState(false);

  function toEnd(): void {
    pinned.current = true;
    setAway(false);
    if (area.current) area.current.scrollTop = area.current.scrollHeight;
  }

  useLayoutEffect(() => {
    const box = area.current;
    const inside = content.current;
    if (!box || !inside) return undefined;
    let top = box.scrollTop;
    function scrolled(): void {
      if (!box) return;
      const near = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_PX;
      // Only the reader scrolls up; what grows below them does not.
      if (near) pinned.current = true;
      else if (box.scrollTop < top - 2) pinned.current = false;
      top = box.scrollTop;
      setAway(!pinned.current);
    }
    const follow = new ResizeObserver(() => {
      if (pinned.current) box.scrollTop = box.scrollHeight;
    });
    follow.observe(inside);
    follow.observe(box);
    box.addEventListener("scroll", scrolled, { passive: true });
    return () => {
      follow.disconnect();
      box.removeEventListener("scroll", scrolled);
    };
  }, []);

  return { area, content, away, toEnd };
}

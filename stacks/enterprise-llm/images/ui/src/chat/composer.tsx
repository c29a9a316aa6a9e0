import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState, type KeyboardEvent, type Ref } from "react";
import type { Models } from "../api/types";
import { useMedia } from "../page/parts/hooks";
import { Icon } from "../page/parts/icons";

/** Handle for the page around it. */
export interface ComposerBox {
  focus(): void;
  /** Puts a text before what stands in the box. */
  put(text: string): void;
}

interface Props {
  ref: Ref<ComposerBox>;
  /** What stood in the box when this chat was left. */
  initial: string;
  onDraft: (text: string) => void;
  busy: boolean;
  onSend: (text: string) => void;
  onStop: () => void;
  models: Models | null;
  model: string | null;
  onModel: (id: string) => void;
}

const TALLEST_PX = 240;

export function Composer({ ref, initial, onDraft, busy, onSend, onStop, models, model, onModel }: Props) {
  const [text, setText] = useState(initial);
  const box = useRef<HTMLTextAreaElement>(null);
  const touch = useMedia("(pointer: coarse)");

  function change(next: string): void {
    setText(next);
    onDraft(next);
  }

  useImperativeHandle(ref, () => ({
    focus: () => box.current?.focus(),
    put(more) {
      change(text.trim() === "" ? more : `${more}\n\n${text}`);
      box.current?.focus();
    },
  }));

  useLayoutEffect(() => {
    const area = box.current;
    if (!area) return;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, TALLEST_PX)}px`;
  }, [text]);

  // On a touch screen the keyboard would cover half the page that was just opened.
  useEffect(() => {
    if (!matchMedia("(pointer: coarse)").matches && !document.querySelector("dialog[open]")) box.current?.focus();
  }, []);

  function send(): void {
    if (busy || text.trim() === "") return;
    setText("");
    onSend(text.trim());
    if (!touch) box.current?.focus();
  }

  function keys(event: KeyboardEvent): void {
    // With touch, Enter is a new line: there is no Shift at hand. While an input method composes, Enter is its own.
    if (event.key !== "Enter" || event.shiftKey || event.nativeEvent.isComposing || (touch && !event.ctrlKey)) return;
    event.preventDefault();
    send();
  }

  return (
    <form
      className="composer"
      aria-label="Message"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <textarea
        ref={box}
        rows={1}
        value={text}
        placeholder="Write a message"
        aria-label="Message"
        aria-keyshortcuts="Enter"
        maxLength={100_000}
        onChange={(event) => change(event.target.value)}
        onKeyDown={keys}
      />
      <div className="flex items-center justify-between gap-2">
        <ModelChoice models={models} model={model} onModel={onModel} />
        {/* One button throughout, so that it keeps the focus when what it does changes. */}
        <button
          type={busy ? "button" : "submit"}
          className="round"
          aria-label={busy ? "Stop the answer" : "Send"}
          title={busy ? "Stop (Esc)" : "Send (Enter)"}
          aria-disabled={!busy && text.trim() === ""}
          onClick={busy ? onStop : undefined}
        >
          <Icon name={busy ? "stop" : "send"} />
        </button>
      </div>
    </form>
  );
}

function ModelChoice({ models, model, onModel }: Pick<Props, "models" | "model" | "onModel">) {
  if (!models) return <span className="px-2 text-sm text-muted">&nbsp;</span>;
  if (models.models.length === 0) return <span className="px-2 text-sm text-muted">No model is installed</span>;
  if (models.models.length === 1) return <span className="truncate px-2 text-sm text-muted">{models.models[0]?.name}</span>;
  return (
    <select className="select bare" aria-label="Model" value={model ?? ""} onChange={(event) => onModel(event.target.value)}>
      {models.models.map(({ id, name }) => (
        <option key={id} value={id}>{name}</option>
      ))}
    </select>
  );
}

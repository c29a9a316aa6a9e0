import { useEffect } from "react";
import { Dialog } from "../page/parts/dialog";

const MAC = /Mac|iPhone|iPad/.test(navigator.userAgent);
const MOD = MAC ? "⌘" : "Ctrl";

const LIST: readonly (readonly [keys: readonly string[], what: string])[] = [
  [["Enter"], "Send the message"],
  [["Shift", "Enter"], "New line"],
  [["Esc"], "Stop the answer"],
  [[MOD, "K"], "Search the chats"],
  [[MOD, "Shift", "O"], "New chat"],
  [["Shift", "Esc"], "To the message box"],
  [["?"], "This list"],
];

export interface Shortcuts {
  search: () => void;
  newChat: () => void;
  focus: () => void;
  list: () => void;
  /** True when there was something to stop. */
  stop: () => boolean;
}

/** Shortcuts with a modifier work everywhere; `?` alone only where nothing is being typed. */
export function useShortcuts(on: Shortcuts): void {
  useEffect(() => {
    function pressed(event: KeyboardEvent): void {
      if (event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]")) return;
      const mod = MAC ? event.metaKey : event.ctrlKey;
      const key = event.key.toLowerCase();
      const typing = event.target instanceof Element && event.target.closest("input, textarea, select, [role=menu]") !== null;
      if (mod && !event.shiftKey && key === "k") on.search();
      else if (mod && event.shiftKey && key === "o") on.newChat();
      else if (event.shiftKey && key === "escape") on.focus();
      else if (key === "escape" && on.stop()) event.stopPropagation();
      else if (key === "?" && !mod && !typing) on.list();
      else return;
      event.preventDefault();
    }
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  }, [on]);
}

export function ShortcutList({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keyboard" onClose={onClose}>
      <dl className="grid grid-cols-[1fr_auto] items-center gap-x-10 gap-y-3">
        {LIST.map(([keys, what]) => (
          <div key={what} className="contents">
            <dt>{what}</dt>
            <dd className="flex gap-1">
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

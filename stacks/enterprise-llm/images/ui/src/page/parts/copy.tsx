import { useEffect, useState } from "react";
import { Icon } from "./icons";

/** Copies a text, and says for a moment that it did. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [state, setState] = useState<"idle" | "copied" | "failed">("idle");
  useEffect(() => {
    if (state === "idle") return undefined;
    const timer = setTimeout(() => setState("idle"), 2000);
    return () => clearTimeout(timer);
  }, [state]);
  const said = { idle: label, copied: "Copied", failed: "Not copied" }[state];
  return (
    <button
      type="button"
      className="quiet"
      aria-label={said}
      title={said}
      onClick={() => {
        // Not to be had over plain http.
        if (!("clipboard" in navigator)) return setState("failed");
        navigator.clipboard.writeText(text).then(
          () => setState("copied"),
          () => setState("failed"),
        );
      }}
    >
      <Icon name={state === "copied" ? "check" : state === "failed" ? "close" : "copy"} size={16} />
    </button>
  );
}

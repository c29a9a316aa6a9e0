import { useEffect, useState } from "react";
import { clock, useSecondsUntil } from "../page/parts/hooks";
import type { Conversation } from "./conversation";
import type { Failure } from "./state";
import { useStore } from "../page/store";

/** A model that is not there is asked again by itself this often; then a person decides. */
const TRIES = 5;

interface Props {
  conversation: Conversation;
  up: boolean;
  onRetry: () => void;
  onEdit: (text: string) => void;
  onNew: (text: string) => void;
}

/** Why there is no answer, and what can be done: try again, now or when the server said to, or change the message. */
export function FailureNote({ conversation, up, onRetry, onEdit, onNew }: Props) {
  const failure = useStore(conversation.chat, (chat) => chat.failure);
  const unsent = useStore(conversation.chat, (chat) => chat.pending !== null);
  const answering = useStore(conversation.chat, (chat) => chat.phase === "answering");
  const [tries, setTries] = useState(0);
  useEffect(() => {
    if (answering) setTries(0);
  }, [answering]);
  if (!failure) return null;
  return (
    <Note
      key={`${failure.kind} ${failure.retryAt}`}
      failure={failure}
      unsent={unsent}
      up={up}
      automatic={failure.kind === "unavailable" && failure.retryAt !== null && tries < TRIES}
      onRetry={(byItself) => {
        setTries(byItself ? tries + 1 : 0);
        onRetry();
      }}
      onEdit={() => onEdit(conversation.withdraw())}
      onNew={() => onNew(conversation.withdraw())}
      onDismiss={() => conversation.dismiss()}
    />
  );
}

interface NoteProps {
  failure: Failure;
  unsent: boolean;
  up: boolean;
  automatic: boolean;
  onRetry: (byItself: boolean) => void;
  onEdit: () => void;
  onNew: () => void;
  onDismiss: () => void;
}

function Note({ failure, unsent, up, automatic, onRetry, onEdit, onNew, onDismiss }: NoteProps) {
  const left = useSecondsUntil(failure.retryAt);
  const waiting = left > 0;
  const again = unsent ? "Send again" : "Try again";
  useEffect(() => {
    if (automatic && up && !waiting) onRetry(true);
    // Once, when the time has come; what else changes is no reason to ask again.
    // oxlint-disable-next-line react/exhaustive-deps
  }, [automatic, up, waiting]);
  return (
    <div className={`note ${failure.kind === "unanswered" ? "" : "danger"} mt-6 flex flex-wrap items-center justify-between gap-x-6 gap-y-3`}>
      <div role={failure.kind === "unanswered" ? undefined : "alert"} className="min-w-0 flex-1 basis-64">
        <p className="font-medium">{TITLES[failure.kind]}</p>
        <p className="text-sm">{explanation(failure, unsent)}</p>
      </div>
      <div className="flex flex-wrap items-center gap-2">
        {waiting && <span className="text-sm tabular-nums" aria-live="off">{automatic ? "Again in" : "Wait"} {clock(left)}</span>}
        {failure.kind === "gone" ? (
          <button type="button" className="secondary" onClick={onNew}>Start a new chat</button>
        ) : (
          <>
            {unsent && <button type="button" className="secondary" onClick={onEdit}>Edit</button>}
            {automatic && !unsent && <button type="button" className="secondary" onClick={onDismiss}>Give up</button>}
            <button type="button" className="primary" disabled={!up || (waiting && failure.kind === "limited")} onClick={() => onRetry(false)}>
              {waiting && failure.kind !== "limited" ? "Try now" : again}
            </button>
          </>
        )}
      </div>
    </div>
  );
}

const TITLES: Record<Failure["kind"], string> = {
  unanswered: "No answer yet",
  unavailable: "The model does not answer at the moment",
  limited: "Too many requests",
  unreachable: "Not sent",
  lost: "The answer broke off",
  "signed-out": "Not sent",
  gone: "This chat no longer exists",
  refused: "Not accepted",
};

function explanation(failure: Failure, unsent: boolean): string {
  switch (failure.kind) {
    case "unanswered":
      return "The model has not said anything to this.";
    case "unavailable":
      return unsent ? "Your message is kept here." : "Your message is stored; the answer can be had later.";
    case "limited": {
      if (failure.retryAt === null) return "You can send again in a while. Your message is kept here.";
      const time = new Date(failure.retryAt).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
      return `You can send again at ${time}.${unsent ? " Your message is kept here." : ""}`;
    }
    case "unreachable":
      return unsent ? "The server cannot be reached. Your message is kept here." : "The server cannot be reached.";
    case "lost":
      return "The connection was lost; this is what had come of it.";
    case "signed-out":
      return "Your login had run out. Your message is kept here.";
    case "gone":
      return "It was deleted, here or on another device.";
    case "refused":
      return failure.message;
  }
}

import { useEffect, useImperativeHandle, useRef, useState, type ReactNode, type Ref } from "react";
import { keep, kept } from "../page/theme";
import { go } from "../app/route";
import { Icon } from "../page/parts/icons";
import { Composer, type ComposerBox } from "./composer";
import type { Conversation } from "./conversation";
import { FailureNote } from "./failure";
import { Messages, Spoken, useAtEnd } from "./messages";
import { busy, type Chat } from "./state";
import { useStore } from "../page/store";
import type { Workspace } from "./workspace";

interface Props {
  ref: Ref<ComposerBox>;
  workspace: Workspace;
  conversation: Conversation;
}

/** One chat: its messages, and the box to write in. */
export function ChatPage({ ref, workspace, conversation }: Props) {
  const { chat } = conversation;
  const models = useStore(workspace.models, (value) => value);
  const up = useStore(workspace.link.up, (value) => value);
  const isBusy = useStore(chat, busy);
  const blank = useStore(chat, isBlank);
  const loading = useStore(chat, (value) => value.phase === "loading");
  const failedToLoad = useStore(chat, (value) => value.session === null && value.failure !== null && value.pending === null);
  const ofChat = useStore(chat, (value) => value.session?.model ?? null);
  const [chosen, setChosen] = useState<string | null>(null);
  const [initial] = useState(() => conversation.draft());
  const composer = useRef<ComposerBox>(null);
  const { area, content, away, toEnd } = useAtEnd();
  useImperativeHandle(ref, () => ({
    focus: () => composer.current?.focus(),
    put: (text) => composer.current?.put(text),
  }));

  const known = (id: string | null) => (id !== null && models?.models.some((model) => model.id === id) ? id : null);
  const model = known(chosen) ?? known(ofChat) ?? known(kept("model")) ?? models?.default ?? null;
  const retry = useRef(() => undefined as void);
  useEffect(() => {
    retry.current = () => {
      toEnd();
      void conversation.retry(model);
    };
  });
  const [onRetry] = useState(() => () => retry.current());
  const [modelName] = useState(() => (id: string | null) => workspace.models.get()?.models.find((one) => one.id === id)?.name ?? id);

  return (
    <div className="flex h-full min-h-0 flex-col">
      <div className="relative min-h-0 flex-1">
        <div ref={area} className="h-full overflow-y-auto overscroll-contain" tabIndex={-1}>
          <div ref={content} className="mx-auto max-w-[46rem] px-5 pt-8 pb-6 md:px-8">
            {blank && <Empty models={models !== null && models.models.length === 0} />}
            {loading && <Loading />}
            {!blank && !loading && <Messages conversation={conversation} modelName={modelName} onRetry={onRetry} />}
            {failedToLoad ? (
              <NotOpened conversation={conversation} />
            ) : (
              <FailureNote
                conversation={conversation}
                up={up}
                onRetry={onRetry}
                onEdit={(text) => composer.current?.put(text)}
                onNew={(text) => {
                  workspace.drafts.write(null, text);
                  go("/");
                }}
              />
            )}
          </div>
        </div>
        {away && (
          <button type="button" className="to-end" aria-label="To the newest message" onClick={toEnd}>
            <Icon name="down" />
          </button>
        )}
      </div>
      <div className="mx-auto w-full max-w-[46rem] px-3 pb-[max(0.75rem,env(safe-area-inset-bottom))] md:px-6">
        <Composer
          ref={composer}
          initial={initial}
          onDraft={conversation.type}
          busy={isBusy}
          onSend={(text) => {
            toEnd();
            void conversation.send(text, model);
          }}
          onStop={() => {
            conversation.stop();
            composer.current?.focus();
          }}
          models={models}
          model={model}
          onModel={(id) => {
            setChosen(id);
            keep("model", id);
          }}
        />
        <p className="mt-2 text-center text-xs text-muted">Answers can be wrong. Check what matters.</p>
      </div>
      <Spoken conversation={conversation} />
    </div>
  );
}

function isBlank(chat: Chat): boolean {
  return chat.turns.length === 0 && chat.pending === null && chat.phase === "idle" && chat.failure === null;
}

function Empty({ models }: { models: boolean }): ReactNode {
  return (
    <div className="pt-[18dvh]">
      <h2 className="text-2xl font-semibold tracking-tight text-balance">{models ? "No model is installed yet" : "What is on your mind?"}</h2>
      <p className="mt-2 max-w-md text-muted">
        {models ? "As soon as one has been loaded, it can be chosen here." : "Ask a question, paste a text to work on, or describe what you want to write."}
      </p>
    </div>
  );
}

function Loading() {
  return (
    <div role="status" className="flex flex-col gap-4">
      <span className="sr-only">Loading the chat</span>
      <div className="skeleton ml-auto h-10 w-2/5" />
      <div className="skeleton h-4 w-full" />
      <div className="skeleton h-4 w-11/12" />
      <div className="skeleton h-4 w-3/5" />
    </div>
  );
}

function NotOpened({ conversation }: { conversation: Conversation }) {
  const gone = useStore(conversation.chat, (chat) => chat.failure?.kind === "gone");
  return (
    <div role="alert" className="pt-[18dvh]">
      <h2 className="text-2xl font-semibold tracking-tight">{gone ? "This chat does not exist" : "This chat cannot be shown now"}</h2>
      <p className="mt-2 mb-6 text-muted">{gone ? "It may have been deleted, or it is somebody else’s." : "The server did not answer."}</p>
      {gone ? (
        <button type="button" className="secondary" onClick={() => go("/")}>Start a new chat</button>
      ) : (
        <button type="button" className="secondary" onClick={() => void conversation.load()}>Try again</button>
      )}
    </div>
  );
}

import { store, type Store } from "./store";

/** Whether the server can be reached. Once it could not, it is asked again and again, less and less often. */
export interface Link {
  readonly up: Store<boolean>;
  lost(): void;
  /** Ask now. */
  ask(): Promise<void>;
  close(): void;
}

const FIRST_MS = 1000;
const LONGEST_MS = 15_000;

/** `probe`: one cheap request; true when a service answered it. `back`: called each time when the server can be reached again. */
export function link(probe: () => Promise<boolean>, back: () => void): Link {
  const up = store(true);
  let pause = FIRST_MS;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asking: Promise<void> | null = null;
  let closed = false;

  async function asked(): Promise<void> {
    const reached = await probe();
    if (closed || up.get()) return;
    if (reached) {
      up.set(true);
      back();
      return;
    }
    // Not all pages at the same moment.
    timer = setTimeout(() => void ask(), pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST_MS);
  }

  function ask(): Promise<void> {
    clearTimeout(timer);
    asking ??= asked().finally(() => {
      asking = null;
    });
    return asking;
  }

  function lost(): void {
    if (closed || !up.get()) return;
    up.set(false);
    pause = FIRST_MS;
    timer = setTimeout(() => void ask(), FIRST_MS);
  }

  const online = () => {
    pause = FIRST_MS;
    if (!up.get()) void ask();
  };
  addEventListener("online", online);
  addEventListener("offline", lost);
  return {
    up,
    lost,
    ask,
    close() {
      closed = true;
      clearTimeout(timer);
      removeEventListener("online", online);
      removeEventListener("offline", lost);
    },
  };
}

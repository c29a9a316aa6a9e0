import { useSyncExternalStore } from "react";

/** A value that parts of the page watch. Those whose part of it stays the same are not rendered again. */
export interface Store<T> {
  get(): T;
  set(next: T): void;
  update(change: (value: T) => T): void;
  subscribe(listener: () => void): () => void;
}

export function store<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  function set(next: T): void {
    if (Object.is(next, value)) return;
    value = next;
    for (const listener of listeners) listener();
  }
  return {
    get: () => value,
    set,
    update: (change) => set(change(value)),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** `pick` must give the same thing for the same value: a part of it, not a new object. */
export function useStore<T, P>(from: Store<T>, pick: (value: T) => P): P {
  return useSyncExternalStore(from.subscribe, () => pick(from.get()));
}

/** A person's initials in a circle; their name is said beside it. */
export function Initials({ name }: { name: string }) {
  return (
    <span aria-hidden="true" className="grid size-8 shrink-0 place-items-center rounded-full bg-accent-soft text-sm font-semibold text-accent">
      {initials(name)}
    </span>
  );
}

function initials(name: string): string {
  const [first = "", ...others] = name.split(/[\s@]+/).filter(Boolean);
  const letter = (word: string) => [...word][0]?.toUpperCase() ?? "";
  return letter(first) + (others.length > 0 && !name.includes("@") ? letter(others.at(-1) ?? "") : "");
}

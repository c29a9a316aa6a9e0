import { useId, useState, type InputHTMLAttributes } from "react";

interface Props extends Omit<InputHTMLAttributes<HTMLInputElement>, "onChange"> {
  label: string;
  hint?: string | undefined;
  value: string;
  onChange: (value: string) => void;
}

export function Field({ label, hint, onChange, type = "text", ...rest }: Props) {
  const id = useId();
  const [shown, setShown] = useState(false);
  const secret = type === "password";
  return (
    <div className="flex flex-col gap-1.5">
      <label htmlFor={id} className="text-sm font-medium">{label}</label>
      <div className="relative">
        <input
          {...rest}
          id={id}
          type={secret && shown ? "text" : type}
          className={secret ? "field pr-16" : "field"}
          aria-describedby={hint ? `${id}-hint` : undefined}
          onChange={(event) => onChange(event.target.value)}
        />
        {secret && (
          <button type="button" className="absolute inset-y-1 right-1 rounded-md px-2.5 text-sm text-muted hover:text-ink" aria-pressed={shown} aria-label="Show the password" onClick={() => setShown(!shown)}>
            {shown ? "Hide" : "Show"}
          </button>
        )}
      </div>
      {hint && <p id={`${id}-hint`} className="text-sm text-muted">{hint}</p>}
    </div>
  );
}

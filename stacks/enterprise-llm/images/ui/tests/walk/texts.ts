/** What the stand-in says, to see how it is set. */
export const RICH = `Here is a short tour. It has **strong** and *emphasised* words, some \`inline code\`, and a [link](https://example.org/).

## A list

1. First, measure what you have.
2. Then change one thing.
   - Write down what you expected.
   - Keep what you learned.
3. Measure again.

\`\`\`python
def fibonacci(n: int) -> list[int]:
    """The first n numbers."""
    numbers = [0, 1]
    while len(numbers) < n:
        numbers.append(numbers[-1] + numbers[-2])  # each is the sum of the two before it
    return numbers[:n]
\`\`\`

### A table

| Quantity | Unit | Typical value |
|:---------|:----:|--------------:|
| Memory   | GiB  |            24 |
| Latency  | ms   |          17.5 |

> What is quoted stands a little aside, and is quieter than the rest.

- [x] done
- [ ] to do

That is all.`;

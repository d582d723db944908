/** Text in which everything from outside is escaped. */
export class Html {
  readonly text: string

  constructor (text: string) {
    this.text = text
  }
}

type Value = string | number | null | Html | readonly Html[]

/** A template of HTML or SVG; whatever is put into it is escaped, unless it was made by such a template itself. */
export function html (parts: TemplateStringsArray, ...values: Value[]): Html {
  return new Html(parts.map((part, i) => i === 0 ? part : textOf(values[i - 1] ?? null) + part).join(''))
}

function textOf (value: Value): string {
  if (value === null) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map(({ text }) => text).join('')
  return escape(String(value))
}

const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }

// A control character is no text; in an HTML document it would be an error.
function escape (text: string): string {
  return text.replace(/[&<>"']/g, character => entities[character] as string).replace(/\p{Cc}/gu, '\ufffd')
}

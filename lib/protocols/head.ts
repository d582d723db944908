import type { OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { isStream } from './http2.ts'

export type Answer = ServerResponse | Http2ServerResponse

/** The headers that this answer was given, by lower-case name; `null`: it has no head yet. */
export function headOf (answer: Answer): ((name: string) => string | undefined) | null {
  if (isStream(answer)) {
    const { headersSent, sentHeaders } = (answer as Http2ServerResponse).stream
    if (!headersSent) return null
    const entries = Object.entries(sentHeaders as OutgoingHttpHeaders)
    return name => asText(entries.find(([key]) => key.toLowerCase() === name)?.[1])
  }
  const { headersSent, _header: head } = answer as ServerResponse & { _header?: unknown }
  if (!headersSent) return null
  // What was passed to writeHead() is nowhere else.
  if (typeof head !== 'string') return name => asText(answer.getHeader(name))
  return name => new RegExp(`\r\n${name}: *([^\r]*)`, 'i').exec(head)?.[1]
}

function asText (value: unknown): string | undefined {
  return value === undefined ? undefined : String(value)
}

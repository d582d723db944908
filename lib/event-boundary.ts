const lineFeed = 10
const carriageReturn = 13
const colon = 58

/**
 * Where the events of a `text/event-stream` end: HTML Standard, section 9.2.6, "Interpreting an event stream". A line ends
 * with CR LF, LF or CR; an event with a blank line; a line that begins with a colon belongs to none.
 */
export class EventBoundary {
  #inEvent = false
  #inLine = false
  #afterReturn = false

  /** No event is half written. */
  get isReached (): boolean {
    return !this.#inEvent && !this.#inLine
  }

  /** These bytes were written. */
  read (bytes: Uint8Array): void {
    // What nearly every write ends with.
    if (bytes.at(-1) === lineFeed && bytes.at(-2) === lineFeed) {
      this.#inEvent = this.#inLine = this.#afterReturn = false
      return
    }
    for (const byte of bytes) this.#step(byte)
  }

  /** How many of these bytes belong to the event that is half written; all are read up to there. */
  rest (bytes: Uint8Array): number {
    for (let i = 0; i < bytes.length; i++) {
      this.#step(bytes[i] as number)
      if (this.isReached) return this.#afterReturn && bytes[i + 1] === lineFeed ? i + 2 : i + 1
    }
    return bytes.length
  }

  #step (byte: number): void {
    const endsReturn = byte === lineFeed && this.#afterReturn
    this.#afterReturn = byte === carriageReturn
    if (endsReturn) return
    if (byte === lineFeed || byte === carriageReturn) {
      if (!this.#inLine) this.#inEvent = false
      this.#inLine = false
    } else if (!this.#inLine) {
      this.#inLine = true
      this.#inEvent ||= byte !== colon
    }
  }
}

/**
 * Mutants that no test can kill, with the reason. `line`: the source line, without its indentation; `mutants`: what is replaced in it, and by what.
 * @type {Array<{ file: string, line: string, mutants: string[], why: string }>}
 */
export const explained = [
  {
    file: 'lib/drain.ts',
    line: "#reason = ''",
    mutants: ["'' => \"Stryker was here!\""],
    why: 'the drain has its reason before anybody is told of it'
  },
  {
    file: 'lib/drain.ts',
    line: 'this.#observer.begin?.(this.#ledger.began, connections.all())',
    mutants: ['this.#observer.begin?.(this.#ledger.began, connections.all()) => this.#observer.begin(this.#ledger.began, connections.all())'],
    why: 'a single observer need not have it, and the group of them that a drain is given always has'
  },
  {
    file: 'lib/drain.ts',
    line: 'if (hasSuccessor) await connections.leave()',
    mutants: ['hasSuccessor => true'],
    why: 'without a successor nothing listens any more, and to leave again does nothing'
  },
  {
    file: 'lib/connection.ts',
    line: 'http1.makeLast(this.socket, answer, () => this.#retirement?.onServed(), end => {',
    mutants: ['this.#retirement?.onServed => this.#retirement.onServed'],
    why: 'for the compiler: it was set two lines before'
  },
  {
    file: 'lib/protocols/goaway.ts',
    line: 'if (this.#session.open === 0) this.#waitForQuiet()',
    mutants: ['this.#session.open === 0 => true'],
    why: 'saves a timer: whether a stream is open is asked again when it fires'
  },
  {
    file: 'lib/protocols/http2.ts',
    line: 'if (isServed || !this.session.destroyed) this.#watched?.delete(stream)',
    mutants: ['this.#watched?.delete => this.#watched.delete'],
    why: 'for the compiler: who hears of a closed stream watches'
  },
  {
    file: 'lib/protocols/http2.ts',
    line: 'return key === undefined ? undefined : (owner as Record<symbol, T>)[key]',
    mutants: ['key === undefined => false'],
    why: 'for the compiler: no object has a property of that name'
  },
  {
    file: 'lib/protocols/http1.ts',
    line: "return typeof head === 'string' && /\\r\\ncontent-type: *text\\/event-stream/i.test(head)",
    mutants: ["typeof head === 'string' => true", '/\\r\\ncontent-type: *text\\/event-stream/i => /\\r\\ncontent-type: text\\/event-stream/i'],
    why: 'a head that is no string shows no type either, and Node writes exactly one space'
  }
]

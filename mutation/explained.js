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
  },
  {
    file: 'lib/protocols/http1.ts',
    line: 'if (!answer.headersSent) {',
    mutants: ['!answer.headersSent => true'],
    why: 'saves what has no effect: no head is written any more'
  },
  {
    file: 'lib/protocols/http1.ts',
    line: 'return parser.incoming?.complete === false || parser.finish() instanceof Error',
    mutants: ['parser.incoming?.complete === false => false', 'false => true'],
    why: 'finish() tells of an incomplete body as well, and there is no other request while it is asked: in the middle of a body it need not be'
  },
  {
    file: 'lib/protocols/http1.ts',
    line: 'parser?.remove?.()',
    mutants: ['parser?.remove?.() => parser?.remove()'],
    why: 'every Node so far has it'
  },
  {
    file: 'lib/protocols/request-line.ts',
    line: "const [path = ''] = target.split(/[?#;]/, 1)",
    mutants: ["'' => \"Stryker was here!\""],
    why: 'for the compiler: there is always a first part'
  },
  {
    file: 'lib/protocols/request-line.ts',
    line: "return path.replace(/^.*@/s, '')",
    mutants: ['/^.*@/s => /.*@/s'],
    why: 'finds the same, but looks for it from each character on'
  },
  {
    file: 'lib/exchanges.ts',
    line: 'if (!this.#observer.wantsStates) return',
    mutants: ['!this.#observer.wantsStates => false'],
    why: 'saves a listener: an observer that is not active any more is told nothing'
  },
  {
    file: 'lib/connection.ts',
    line: 'this.#bytesBefore = -1',
    mutants: ['-1 => +1'],
    why: 'any number that is never that of an idle connection: behind a single byte it is active'
  },
  {
    file: 'lib/connection.ts',
    line: 'if (answer !== null) this.#rememberPeer()',
    mutants: ['answer !== null => true'],
    why: 'saves a system call: an idle connection is asked for its peer when it leaves'
  },
  {
    file: 'lib/connections.ts',
    line: 'leaves: (connection: Connection) => boolean = () => false',
    mutants: ['() => false => () => undefined'],
    why: 'for the compiler: neither is true'
  },
  {
    file: 'lib/connections.ts',
    line: 'this.leaves = () => false',
    mutants: ['() => false => () => undefined'],
    why: 'for the compiler: neither is true'
  },
  {
    file: 'lib/connections.ts',
    line: 'this.#schedule = new CloseSchedule(clock, { idleGrace: 0, closeSpread: 0, peerCloseTimeout: 0, lastCall: 0, pingTimeout: 0 })',
    mutants: ['{ idleGrace: 0, closeSpread: 0, peerCloseTimeout: 0, lastCall: 0, pingTimeout: 0 } => {}'],
    why: 'for the compiler: a drain makes its own before anything is closed'
  },
  {
    file: 'lib/connections.ts',
    line: 'if (this.#observer.isActive) this.#tellOpened(transport)',
    mutants: ['this.#observer.isActive => true'],
    why: 'saves an object for each connection: who is not active is told nothing'
  },
  {
    file: 'lib/connections.ts',
    line: 'const connection = this.#closingIdle || this.#observer.wantsStates ? this.find(socket) : undefined',
    mutants: ['this.#closingIdle || this.#observer.wantsStates => true'],
    why: 'saves an object: nobody is told, and nothing is closed'
  },
  {
    file: 'lib/connections.ts',
    line: 'if (connection === undefined) return',
    mutants: ['connection === undefined => false'],
    why: 'without a connection nobody wants to know, and nothing is closed'
  },
  {
    file: 'lib/connections.ts',
    line: 'if (!isUpgraded) this.#schedule.closeWhenIdle(connection, offset)',
    mutants: ['!isUpgraded => true'],
    why: 'saves a turn: an upgraded connection is not idle when its turn comes'
  },
  {
    file: 'lib/connections.ts',
    line: 'connection.transport.destroy()',
    mutants: ['connection.transport.destroy() => ;'],
    why: 'what speaks TLS on it was destroyed, and would destroy it a moment later'
  },
  {
    file: 'lib/connections.ts',
    line: 'if (this.#newest === transport) this.#newest = null',
    mutants: ['this.#newest === transport => true', 'this.#newest === transport => false', 'this.#newest === transport => this.#newest !== transport'],
    why: 'lets go of the socket: find() does not know it any more, and the next one is there before anybody asks'
  },
  {
    file: 'lib/connections.ts',
    line: 'await Promise.all([...this.#servers].filter(({ listening }) => listening).map(server =>',
    mutants: ['[...this.#servers].filter(({ listening }) => listening) => [...this.#servers]'],
    why: 'saves a wait: to leave a server that does not listen does nothing'
  },
  {
    file: 'lib/connections.ts',
    line: 'const stayed = this.all().filter(this.leaves)',
    mutants: ['this.all().filter(this.leaves) => this.all()'],
    why: 'for the others it does once more what was done: they are in the queue already, which hands out in order'
  },
  {
    file: 'lib/connections.ts',
    line: 'if (isFresh || this.#newest === null) return',
    mutants: ['this.#newest === null => false'],
    why: 'for the compiler: the server has just told of it'
  },
  {
    file: 'lib/connections.ts',
    line: "return typeof known !== 'number' && known.outcome === 'handed-over'",
    mutants: [
      "typeof known !== 'number' && known.outcome === 'handed-over' => typeof known !== 'number' || known.outcome === 'handed-over'",
      "typeof known !== 'number' => true", "'number' => \"\""
    ],
    why: 'for the compiler: a number has no outcome'
  }
]

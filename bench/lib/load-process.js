import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { order } from './orders.js'

const loaderFile = fileURLToPath(new URL('./loader.js', import.meta.url))

/** Load from a process of its own, so that it does not share a thread with anything that measures. */
export function startLoadProcess () {
  const child = fork(loaderFile)
  endWithParent(child)
  const tell = (name, argument) => order(child, 'The load process', name, argument)

  return {
    open: (port, count, protocol) => tell('open', { port, count, protocol }),
    run: (port, requests) => tell('run', { port, requests }),
    close: port => tell('close', { port }),
    end: () => child.kill('SIGKILL')
  }
}

import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

import { endWithParent } from './children.js'
import { order } from './orders.js'

const loaderFile = fileURLToPath(new URL('./keep-alive-loader.js', import.meta.url))

/** The clients, in a process of their own. */
export function startKeepAliveProcess () {
  const child = fork(loaderFile)
  endWithParent(child)
  const tell = (name, argument) => order(child, 'The process of clients', name, argument)

  return {
    open: options => tell('open', options),
    during: windows => tell('during', windows),
    counts: () => tell('counts'),
    stop: () => tell('stop'),
    end: () => child.kill('SIGKILL')
  }
}

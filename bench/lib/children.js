const children = new Set()
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']

/** Ends the child when this process ends, whichever way that is. */
export function endWithParent (child) {
  if (children.size === 0) install()
  children.add(child)
  child.once('exit', () => {
    children.delete(child)
    if (children.size === 0) uninstall()
  })
}

function install () {
  process.on('exit', killAll)
  for (const signal of signals) process.on(signal, onSignal)
}

function uninstall () {
  process.off('exit', killAll)
  for (const signal of signals) process.off(signal, onSignal)
}

function onSignal (signal) {
  killAll()
  uninstall()
  process.kill(process.pid, signal)
}

function killAll () {
  for (const child of children) child.kill('SIGKILL')
}

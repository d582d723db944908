let lastId = 0

/**
 * Sends an order to a child process and resolves with its answer.
 *
 * @param {import('node:child_process').ChildProcess} child
 * @param {string} who how errors call the child
 * @param {string} name
 * @param {unknown} [argument]
 * @param {number} [timeout=60000] milliseconds
 */
export function order (child, who, name, argument, timeout = 60_000) {
  return new Promise((resolve, reject) => {
    const id = ++lastId
    const timer = setTimeout(fail, timeout, `did not answer '${name}' within ${timeout} ms`)
    child.on('message', onMessage)
    child.on('exit', onExit)
    child.on('error', onError)
    child.send({ id, name, argument }, error => { if (error) onError(error) })

    function onMessage (message) {
      if (message.id !== id) return
      if (message.error) fail(`failed at '${name}': ${message.error}`)
      else settle(resolve, message.value)
    }

    function onExit (code, signal) {
      fail(`ended before it answered '${name}' (${signal ?? `exit code ${code}`})`)
    }

    function onError (error) {
      fail(`could not be told '${name}': ${error.message}`)
    }

    function fail (what) {
      settle(reject, new Error(`${who} ${what}.`))
    }

    function settle (how, value) {
      clearTimeout(timer)
      child.off('message', onMessage)
      child.off('exit', onExit)
      child.off('error', onError)
      how(value)
    }
  })
}

/** The child's side: answers every order with what the function of that name returns. */
export function answerOrders (functions) {
  process.on('message', async ({ id, name, argument }) => {
    try {
      process.send({ id, value: await functions[name](argument) })
    } catch (error) {
      process.send({ id, error: error.stack })
    }
  })
  process.on('disconnect', () => process.exit(1))
}

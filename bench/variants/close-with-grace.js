import closeWithGrace from 'close-with-grace'

/** README, "Example with Fastify". */
export function install (app) {
  closeWithGrace(async function ({ signal, err }) {
    if (err) {
      app.log.error({ err }, 'server closing with error')
    } else {
      app.log.info(`${signal} received, server closing`)
    }
    await app.close()
  })
}

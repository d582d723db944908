// By its path: bench/ is a package of its own, from where the name does not resolve.
import drain from '../../../dist/esm/index.js'
import { reportOption } from '../../lib/report.js'

export async function install (app, report) {
  await app.register(drain, { handover: { ready: async () => report('ready') }, report: reportOption() })
  // The plugin has begun when this is called, and whoever asks gets the same promise.
  process.on('SIGUSR2', () => {
    report('begun')
    app.drain.handover().then(successor => report('taken over', { successor }), error => report('failed', { message: error.message }))
  })
}

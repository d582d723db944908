// Takes connections from its parent, and says so of each.
const sockets = []

process.on('message', (message, socket) => {
  sockets.push(socket.on('error', () => {}))
  process.send('have')
})
process.send('ready')
process.on('disconnect', () => process.exit())

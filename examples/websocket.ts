/*
 * A chat over WebSockets that comes through a restart: each gets 1001 (going away), not all at once, and the page connects again.
 *
 *   http://127.0.0.1:3000/                      in one window or more
 *   npx wscat -c ws://127.0.0.1:3000/chat       or without a browser
 *   kill -TERM <pid>                            then start it again
 */
import websocket from '@fastify/websocket'
import Fastify from 'fastify'
import drain from 'fastify-drain'

const app = Fastify({ logger: true })

await app.register(drain, {
  closeSpread: 2000 // the replacement gets its clients over two seconds
})
await app.register(websocket)

app.get('/chat', { websocket: true }, (socket, request) => {
  socket.send(`process ${process.pid} says hello`)
  socket.on('message', message => {
    for (const client of app.websocketServer.clients) client.send(String(message))
  })
  socket.on('close', (code, reason) => request.log.info(`closed with ${code} ${reason}`))
})

app.get('/', (_request, reply) => {
  reply.type('text/html').send(page)
})

const page = `<!doctype html>
<title>chat</title>
<form><input autofocus placeholder="say something"></form>
<pre></pre>
<script>
  const form = document.querySelector('form')
  const input = document.querySelector('input')
  let socket
  let attempts = 0

  function connect () {
    socket = new WebSocket('ws://' + location.host + '/chat')
    socket.onopen = () => { attempts = 0 }
    socket.onmessage = ({ data }) => show(data)
    socket.onclose = ({ code, reason }) => {
      // Any time between none and twice as long as the last time: the clients of one server shall not come back as one.
      const wait = Math.random() * Math.min(30000, 500 * 2 ** attempts++)
      show('closed with ' + code + ' ' + reason + ', next try in ' + Math.round(wait) + ' ms')
      setTimeout(connect, wait)
    }
  }

  function show (text) {
    document.querySelector('pre').append(text + '\\n')
  }

  form.onsubmit = event => {
    event.preventDefault()
    if (socket.readyState !== WebSocket.OPEN) return show('not connected, try again')
    socket.send(input.value)
    input.value = ''
  }

  connect()
</script>`

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
app.log.info(`pid ${process.pid}`)

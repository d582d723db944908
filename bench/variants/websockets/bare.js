import { install as stop } from '../bare.js'

/** @fastify/websocket as its README has it, and Fastify as most people stop it. */
export function install (app) {
  stop(app)
}

import { defineEventHandler } from 'h3'

let renders = 0
export default defineEventHandler(() => `${++renders} of ${process.pid}`)

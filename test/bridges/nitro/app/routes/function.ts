import { defineEventHandler, getQuery } from 'h3'
import { defineCachedFunction } from 'nitropack/runtime'

let loads = 0
const load = async () => `${++loads} of ${process.pid}`
const options = { name: 'price', getKey: (id: string) => id, maxAge: 60 }
const cached = defineCachedFunction(load, options)
const inOther = defineCachedFunction(load, { ...options, base: 'other' })

export default defineEventHandler((event) => {
  const { id, other } = getQuery(event)
  return (other === undefined ? cached : inOther)(String(id))
})

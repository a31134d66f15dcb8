import { tableStatements } from '@stowage/postgres'
import { pool } from './database.ts'

// A migration: the table of the app, and those of cache and sessions. Only the latter survive a crash of the server.
await pool.query(`CREATE TABLE IF NOT EXISTS notes (
  id serial PRIMARY KEY,
  text text NOT NULL CHECK (text <> '')
)`)
await pool.query(tableStatements({ table: 'stowage_cache' }))
await pool.query(tableStatements({ table: 'stowage_sessions', logged: true }))
console.log('The tables exist.')
await pool.end()

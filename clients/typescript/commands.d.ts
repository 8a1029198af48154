/** How commands are given: what each takes and answers, and a socket's methods for them. */

import type { ClientToServerEvents, Refusal } from "./protocol.js";

/** The name of a command. */
export type Command = keyof ClientToServerEvents;

/** What a command takes. */
export type PayloadOf<Event extends Command> = Parameters<ClientToServerEvents[Event]>[0];

/** What a command answers; `ok` tells the two apart. */
export type AnswerTo<Event extends Command> = GoodAnswerTo<Event> | Refusal;

/** What a command answers where it is not refused. */
export type GoodAnswerTo<Event extends Command> = Exclude<
  Parameters<Parameters<ClientToServerEvents[Event]>[1]>[0],
  Refusal
>;

/** A socket's methods for commands. */
export interface Commands {
  /** Give a command; `answer` is called once, if the connection lives long enough. */
  emit<Event extends Command>(
    event: Event,
    payload: PayloadOf<Event>,
    answer?: (answer: AnswerTo<Event>) => void,
  ): this;

  /** Give a command and wait for its answer, for ever where the connection is lost. */
  emitWithAck<Event extends Command>(
    event: Event,
    payload: PayloadOf<Event>,
  ): Promise<AnswerTo<Event>>;

  /** For one command: wait for its answer no longer than this. Milliseconds. */
  timeout(ms: number): TimedCommands;
}

/** The same methods with a time limit. */
export interface TimedCommands {
  /** Give a command; `answer` gets an error where no answer came in time. */
  emit<Event extends Command>(
    event: Event,
    payload: PayloadOf<Event>,
    answer?: (error: Error | null, answer: AnswerTo<Event>) => void,
  ): this;

  /** Give a command and wait for its answer; rejected where none came in time. */
  emitWithAck<Event extends Command>(
    event: Event,
    payload: PayloadOf<Event>,
  ): Promise<AnswerTo<Event>>;
}

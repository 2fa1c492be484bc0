//! The model of a bank of four accounts, for transactions and for what pretends to be some.

use larder_testkit::linear::{Dice, Sequential, Slot};

use crate::Ret;

/// How a transaction ends that could have gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Commit,
    Error,
    Panic,
}

pub(crate) fn draw_ending(dice: &mut Dice) -> Ending {
    dice.pick(&[Ending::Commit, Ending::Commit, Ending::Error, Ending::Panic])
}

/// What a transaction returns that ends so; `None` if it goes through.
pub(crate) fn ended(ending: Ending) -> Option<Ret> {
    match ending {
        Ending::Commit => None,
        Ending::Error => Some(Ret::Refused("error".to_owned())),
        Ending::Panic => Some(Ret::Refused("panic".to_owned())),
    }
}

#[derive(Debug, Clone)]
pub(crate) enum Account {
    /// Moves an amount; refused if the source would be overdrawn, which shows after it was charged.
    Transfer {
        from: usize,
        to: usize,
        amount: i64,
        ending: Ending,
    },
    Swap(usize, usize),
    /// Empties two accounts into a third.
    Collect([usize; 2], usize),
    /// Reads of all, at one moment.
    Statement,
    /// The same over every shard.
    Audit,
    Deposit(usize, i64),
    Open([usize; 2], u32),
    Get(usize),
    Close(usize),
}

pub(crate) struct Bank;

impl Sequential for Bank {
    type State = [Option<i64>; 4];
    type Op = Account;
    type Ret = Ret;

    fn initial(&self) -> Self::State {
        [None; 4]
    }

    fn apply(&self, accounts: &mut Self::State, op: &Account) -> Ret {
        let shown = |balance: Option<i64>| balance.map(|balance| balance.to_string());
        match *op {
            Account::Transfer { from, to, amount, ending } => {
                if accounts[from].unwrap_or(0) < amount {
                    return Ret::Refused("overdrawn".to_owned());
                }
                if let Some(ret) = ended(ending) {
                    return ret;
                }
                accounts[from] = Some(accounts[from].unwrap_or(0) - amount);
                let balance = accounts[to].unwrap_or(0) + amount;
                accounts[to] = Some(balance);
                Ret::Number(balance)
            }
            Account::Swap(a, b) => {
                let texts = vec![shown(accounts[a]), shown(accounts[b])];
                accounts.swap(a, b);
                Ret::Texts(texts)
            }
            Account::Collect(from, to) => {
                let sum = from.into_iter().map(|at| accounts[at].take().unwrap_or(0)).sum::<i64>();
                let balance = accounts[to].unwrap_or(0) + sum;
                accounts[to] = Some(balance);
                Ret::Number(balance)
            }
            Account::Statement | Account::Audit => Ret::Texts(accounts.map(shown).into()),
            Account::Deposit(at, amount) => {
                let balance = accounts[at].unwrap_or(0) + amount;
                accounts[at] = Some(balance);
                Ret::Number(balance)
            }
            Account::Open(at, amount) => {
                at.into_iter().for_each(|at| accounts[at] = Some(i64::from(amount)));
                Ret::Done
            }
            Account::Get(at) => Ret::Text(shown(accounts[at])),
            Account::Close(at) => Ret::Text(shown(accounts[at].take())),
        }
    }
}

pub(crate) fn draw_account(dice: &mut Dice, _: Slot) -> Account {
    let [a, b, c] = [(); 3].map(|()| dice.below(4) as usize);
    let amount = i64::from(1 + dice.below(9));
    match dice.below(16) {
        0..=4 => Account::Transfer { from: a, to: b, amount, ending: draw_ending(dice) },
        5 | 6 => Account::Swap(a, b),
        7 => Account::Collect([a, b], c),
        8 | 9 => Account::Statement,
        10 => Account::Audit,
        11 | 12 => Account::Deposit(a, amount * 3),
        13 => Account::Open([a, b], 10),
        14 => Account::Get(a),
        _ => Account::Close(a),
    }
}

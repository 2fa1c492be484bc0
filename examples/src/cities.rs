//! The cities of `examples/data/cities.tsv.gz`: parsed strictly, with errors that name the file and the line.
//!
//! City data: GeoNames (<https://www.geonames.org/>), CC BY 4.0; `examples/data/README.md` says what was
//! changed.

use std::error::Error;
use std::fmt;
use std::io::Read;

use serde::{Deserialize, Serialize};

/// Where the data lie in the repository; errors name it.
pub const FILE: &str = "examples/data/cities.tsv.gz";
/// The line of credit that the licence asks for.
pub const ATTRIBUTION: &str =
    "City data: GeoNames (geonames.org), CC BY 4.0, changed: see examples/data/README.md";

const COMPRESSED: &[u8] = include_bytes!("../data/cities.tsv.gz");
const COLUMNS: &str = "id\tname\tcountry\tregion\tlatitude\tlongitude\tpopulation\ttimezone\talso_known_as";

/// One city, as a service would hold it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct City {
    /// GeoNames identifier.
    pub id: u32,
    /// Name of the city.
    pub name: String,
    /// ISO 3166 code of two letters.
    pub country: String,
    /// First-level administrative division; may be empty.
    pub region: String,
    /// Degrees north.
    pub latitude: f64,
    /// Degrees east.
    pub longitude: f64,
    /// Inhabitants; 0 where unknown.
    pub population: u64,
    /// Name in the tz database.
    pub timezone: String,
    /// Up to three alternate names.
    pub also_known_as: Vec<String>,
    /// How often the row was updated since it was read from the file. Not in the file.
    pub version: u64,
}

impl City {
    /// Returns the bytes that a city owns beyond its own size: what a cache is told it weighs.
    #[must_use]
    pub fn owned_bytes(&self) -> u64 {
        let texts = [&self.name, &self.country, &self.region, &self.timezone].into_iter();
        let texts: usize = texts.chain(&self.also_known_as).map(String::capacity).sum();
        (texts + self.also_known_as.capacity() * size_of::<String>()) as u64
    }
}

/// Why a data file could not be read.
#[derive(Debug, PartialEq, Eq)]
pub struct DataError {
    /// The file.
    pub file: String,
    /// The line, counted from 1; `None` when the file as a whole is at fault.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}, line {line}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

impl Error for DataError {}

/// Returns the cities that ship with the examples, largest first.
///
/// # Errors
///
/// When the file was damaged: it cannot be decompressed, or a line is not a city.
pub fn load() -> Result<Vec<City>, DataError> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(COMPRESSED).read_to_string(&mut text).map_err(|error| DataError {
        file: FILE.to_owned(),
        line: None,
        problem: format!("not readable as gzip of UTF-8 text: {error}"),
    })?;
    parse(FILE, &text)
}

/// Parses a file of cities: `#` lines, the line of column names, then one city a line.
///
/// # Errors
///
/// Names `file` and the first line at fault.
pub fn parse(file: &str, text: &str) -> Result<Vec<City>, DataError> {
    let error = |line, problem| DataError { file: file.to_owned(), line, problem };
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.starts_with('#'));
    match lines.next() {
        Some((_, COLUMNS)) => {}
        Some((index, other)) => {
            let problem = format!("expected the column names {COLUMNS:?}, found {other:?}");
            return Err(error(Some(index + 1), problem));
        }
        None => return Err(error(None, "no line of column names".to_owned())),
    }
    lines.map(|(index, line)| parse_city(line).map_err(|problem| error(Some(index + 1), problem))).collect()
}

/// Parses one line; the error says what is wrong with it.
fn parse_city(line: &str) -> Result<City, String> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [id, name, country, region, latitude, longitude, population, timezone, also_known_as] = fields[..]
    else {
        return Err(format!("expected 9 fields between tabs, found {}", fields.len()));
    };
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if country.len() != 2 || !country.bytes().all(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("country {country:?} is not a code of two capitals"));
    }
    Ok(City {
        id: id.parse().map_err(|error| format!("id {id:?}: {error}"))?,
        name: name.to_owned(),
        country: country.to_owned(),
        region: region.to_owned(),
        latitude: parse_degrees("latitude", latitude, 90.0)?,
        longitude: parse_degrees("longitude", longitude, 180.0)?,
        population: population.parse().map_err(|error| format!("population {population:?}: {error}"))?,
        timezone: timezone.to_owned(),
        also_known_as: split_names(also_known_as),
        version: 0,
    })
}

fn parse_degrees(what: &str, text: &str, limit: f64) -> Result<f64, String> {
    let degrees: f64 = text.parse().map_err(|error| format!("{what} {text:?}: {error}"))?;
    if degrees.abs() <= limit {
        Ok(degrees)
    } else {
        Err(format!("{what} {text:?} does not lie within {limit} degrees"))
    }
}

/// Splits names between semicolons; an empty text holds none.
#[must_use]
pub fn split_names(text: &str) -> Vec<String> {
    text.split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, load, parse};

    const LAGOS: &str = "2332459\tLagos\tNG\t05\t6.45407\t3.39467\t15388000\tAfrica/Lagos\tEko;Èkó";

    fn problem(text: &str) -> String {
        parse("cities.tsv", text).unwrap_err().to_string()
    }

    #[test]
    fn the_shipped_file_holds_thousands_of_distinct_cities() {
        let cities = load().unwrap();
        assert_eq!(cities.len(), 34_006);
        assert_eq!((cities[0].name.as_str(), cities[0].country.as_str()), ("Shanghai", "CN"));
        assert!(cities.is_sorted_by(|a, b| a.population >= b.population));
        let mut ids: Vec<u32> = cities.iter().map(|city| city.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), cities.len());
    }

    #[test]
    fn a_line_becomes_a_city() {
        let cities = parse("cities.tsv", &format!("# a note\n{COLUMNS}\n{LAGOS}\n")).unwrap();
        assert_eq!(cities.len(), 1);
        assert_eq!(cities[0].id, 2_332_459);
        assert_eq!(cities[0].longitude, 3.394_67);
        assert_eq!(cities[0].also_known_as, ["Eko", "Èkó"]);
        // At least the letters: Lagos, NG, 05, Africa/Lagos, Eko, Èkó (in UTF-8) and the list of two names.
        let least = 5 + 2 + 2 + 12 + 3 + 5 + 2 * size_of::<String>();
        assert!(cities[0].owned_bytes() >= least as u64);
    }

    #[test]
    fn an_error_names_file_and_line() {
        let short = format!("# a note\n{COLUMNS}\n{LAGOS}\n1\tX\n");
        assert_eq!(problem(&short), "cities.tsv, line 4: expected 9 fields between tabs, found 2");
        let bad = format!("{COLUMNS}\n{}", LAGOS.replace("15388000", "many"));
        assert_eq!(problem(&bad), "cities.tsv, line 2: population \"many\": invalid digit found in string");
        let far = format!("{COLUMNS}\n{}", LAGOS.replace("6.45407", "96.4"));
        assert_eq!(problem(&far), "cities.tsv, line 2: latitude \"96.4\" does not lie within 90 degrees");
        let nan = format!("{COLUMNS}\n{}", LAGOS.replace("6.45407", "NaN"));
        assert!(problem(&nan).contains("latitude"), "{}", problem(&nan));
        let country = format!("{COLUMNS}\n{}", LAGOS.replace("NG", "ng"));
        assert!(problem(&country).starts_with("cities.tsv, line 2: country \"ng\""));
    }

    #[test]
    fn a_file_without_column_names_is_refused() {
        assert_eq!(problem("# only a note\n"), "cities.tsv: no line of column names");
        assert!(problem(LAGOS).starts_with("cities.tsv, line 1: expected the column names"));
    }
}
